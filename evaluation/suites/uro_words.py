"""Word and character errors as URO-Bench counts them."""

import string


def uro_word_error(language: str, reference: str, hypothesis: str) -> float:
    """Errors per word of ``reference`` in English, per character in Chinese; it may exceed 1. 1 for a reference without
    words.

    English is normalised by Whisper's rules. In Chinese, punctuation is removed and numbers in digits are written in
    characters. Raises ``ImportError`` without the libraries, ``ValueError`` for another language.
    """
    if language not in ("en", "zh"):
        raise ValueError(f"expected language en or zh, got {language!r}")
    try:
        import jiwer

        normalise = _chinese if language == "zh" else _english
        reference, hypothesis = normalise(reference), normalise(hypothesis)
    except ImportError as error:
        raise ImportError("word errors of URO-Bench need pip install 'opens2s-on-ray[evaluation]'") from error
    if not reference.strip():
        return 1.0
    return float((jiwer.cer if language == "zh" else jiwer.wer)(reference, hypothesis))


def _english(text: str) -> str:
    from whisper_normalizer.english import EnglishTextNormalizer

    return str(EnglishTextNormalizer()(text.strip().lower()))


def _chinese(text: str) -> str:
    import cn2an
    from zhon.hanzi import punctuation

    bare = text.translate(dict.fromkeys(map(ord, punctuation + string.punctuation)))
    return str(cn2an.transform(bare.replace("  ", " ").strip().lower(), "an2cn"))
