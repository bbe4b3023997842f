"""Word and character errors as URO-Bench counts them."""

import string
from collections.abc import Callable
from functools import cache


def uro_word_error(language: str, reference: str, hypothesis: str) -> float:
    """Errors per word of ``reference`` in English, per character in Chinese; it may exceed 1. 1 for a reference without
    words. Raises as :func:`normaliser` does."""
    normalise = normaliser(language)
    import jiwer

    reference, hypothesis = normalise(reference), normalise(hypothesis)
    if not reference.strip():
        return 1.0
    return float((jiwer.cer if language == "zh" else jiwer.wer)(reference, hypothesis))


@cache
def normaliser(language: str) -> Callable[[str], str]:
    """English is normalised by Whisper's rules. In Chinese, punctuation is removed and numbers in digits are written in
    characters.

    Raises ``ImportError`` without the libraries, ``ValueError`` for another language.
    """
    try:
        import jiwer  # noqa: F401

        if language == "en":
            from whisper_normalizer.english import EnglishTextNormalizer

            english = EnglishTextNormalizer()
            return lambda text: str(english(text.strip().lower()))
        if language == "zh":
            import cn2an
            from zhon.hanzi import punctuation

            removed = dict.fromkeys(map(ord, punctuation + string.punctuation))
            return lambda text: str(
                cn2an.transform(text.translate(removed).replace("  ", " ").strip().lower(), "an2cn")
            )
    except ImportError as error:
        raise ImportError("word errors of URO-Bench need pip install 'opens2s-on-ray[evaluation]'") from error
    raise ValueError(f"expected language en or zh, got {language!r}")
