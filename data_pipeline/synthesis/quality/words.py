"""Words of a text: their number, their script, and a recogniser's errors in them."""

import re

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:['\u2019\u02bc][^\W_{_HAN}]+)*")
_SCRIPTS = {
    "en": re.compile("[a-z\u00e0-\u024f'\u2019\u02bc]+"),
    "zh": re.compile(f"[{_HAN}]"),
}


def split_words(text: str) -> list[str]:
    """Words in order, without punctuation. Each Chinese character is one."""
    return _WORD.findall(text)


def script_share(text: str, language: str) -> float:
    """The share of words in the script of ``language``: Latin for ``en``, Chinese characters for ``zh``.

    A word of another script among Chinese characters counts as one word, and numbers in digits are left out. 0 for a
    text without words. Languages of one script are not told apart. Raises ``ValueError`` for another language.
    """
    if (script := _SCRIPTS.get(language)) is None:
        raise ValueError(f"language must be one of {', '.join(_SCRIPTS)}, got {language!r}")
    words = [word for word in split_words(text) if not word.isdecimal()]
    return sum(bool(script.fullmatch(word.lower())) for word in words) / len(words) if words else 0.0


def word_error(text: str, transcript: str) -> float:
    """Errors of ``transcript`` per word of ``text``, which may exceed 1: the word error rate, and in Chinese the
    character error rate.

    Case and punctuation do not count, see :func:`opens2s_core.benchmark.word_error.normalise`. Raises ``ValueError``
    for a text without words, ``ImportError`` without jiwer.
    """
    try:
        from opens2s_core.benchmark.word_error import count_word_errors
    except ImportError as error:
        raise ImportError("word errors need jiwer (pip install 'opens2s-on-ray[quality]')") from error
    counted = count_word_errors(" ".join(split_words(text)), " ".join(split_words(transcript)))
    return counted.errors / counted.words
