import dataclasses
from typing import Any

import pytest

from data_pipeline.synthesis.quality.measures import Measures, QualityBounds, reject_reason
from opens2s_core.config import config_to_dict, parse_config

GOOD: dict[str, Any] = {
    "words": 12,
    "script_share": 1.0,
    "refusal": "",
    "thinking": "",
    "unsafe": "",
    "unspeakable": "",
    "digits": "",
    "duration": 4.0,
    "peak": 0.8,
    "clipped_share": 0.0,
    "silence_share": 0.2,
    "longest_silence": 0.3,
    "leading_silence": 0.1,
    "trailing_silence": 0.2,
    "loudness": -23.0,
    "speech_rate": 3.2,
    "transcript": "i am here",
    "word_error": 0.05,
    "dnsmos_overall": 3.1,
    "dnsmos_p808": 3.6,
    "speaker_similarity": 0.85,
    "recognised_emotion": "sad",
    "emotion_probability": 0.7,
}


def test_a_good_message_is_kept_and_so_is_one_that_is_not_measured() -> None:
    assert set(GOOD) == {field.name for field in dataclasses.fields(Measures)}
    assert reject_reason(Measures(**GOOD), QualityBounds()) is None
    assert reject_reason(Measures(), QualityBounds()) is None


@pytest.mark.parametrize(
    ("measure", "value", "reason"),
    [
        ("refusal", "I can't assist", 'refusal: "I can\'t assist", expected none'),
        ("thinking", "</think>", "thinking text: '</think>', expected none"),
        ("unsafe", "violence: kill you", "unsafe: 'violence: kill you', expected none"),
        ("unspeakable", "*", "cannot be spoken: '*', expected none"),
        ("digits", "10", "digits: '10', expected numbers as words"),
        ("words", 0, "text too short: 0 words, expected at least 1"),
        ("words", 81, "text too long: 81 words, expected at most 80"),
        ("script_share", 0.5, "another language: 0.50 of the words in the language's script, expected at least 0.7"),
        ("duration", 0.2, "clip too short: 0.20 s, expected at least 0.3"),
        ("duration", 31.0, "clip too long: 31.00 s, expected at most 30"),
        ("clipped_share", 0.0123, "clipped: 0.0123 of the samples, expected at most 0.001"),
        ("silence_share", 0.75, "silence: 0.75 of the clip, expected at most 0.6"),
        ("longest_silence", 2.0, "long pause: 2.00 s, expected at most 1.5"),
        ("leading_silence", 1.5, "silence before speech: 1.50 s, expected at most 1"),
        ("trailing_silence", 1.5, "silence after speech: 1.50 s, expected at most 1"),
        ("loudness", -60.0, "too quiet: -60.0 LUFS, expected at least -50"),
        ("loudness", -3.0, "too loud: -3.0 LUFS, expected at most -8"),
        ("speech_rate", 0.5, "spoken too slowly: 0.50 words/s, expected at least 0.8"),
        ("speech_rate", 9.0, "spoken too fast: 9.00 words/s, expected at most 8"),
        ("word_error", 0.5, "word error: 0.50 errors per word, expected at most 0.3"),
        ("dnsmos_overall", 1.2, "low quality: 1.20 DNSMOS P.835, expected at least 1.5"),
        ("dnsmos_p808", 1.2, "low quality: 1.20 DNSMOS P.808, expected at least 2"),
        ("speaker_similarity", 0.4, "another speaker: 0.40 cosine, expected at least 0.6"),
        ("emotion_probability", 0.004, "another emotion: 0.004 probability of the label, expected at least 0.02"),
    ],
)
def test_a_measure_out_of_bounds_is_the_reason(measure: str, value: object, reason: str) -> None:
    assert reject_reason(Measures(**GOOD | {measure: value}), QualityBounds()) == reason
    assert reject_reason(Measures(**{measure: value}), QualityBounds()) == reason


def test_values_at_the_bounds_are_kept() -> None:
    config = QualityBounds()
    lowest = {name: getattr(config, f"min_{name}") for name in GOOD if hasattr(config, f"min_{name}")}
    highest = {name: getattr(config, f"max_{name}") for name in GOOD if hasattr(config, f"max_{name}")}
    assert len(lowest) + len(highest) == len(dataclasses.fields(QualityBounds)) - 1
    assert reject_reason(Measures(**GOOD | lowest), config) is None
    assert reject_reason(Measures(**GOOD | highest), config) is None


def test_digits_may_be_allowed() -> None:
    assert reject_reason(Measures(digits="10"), QualityBounds(allow_digits=True)) is None


def test_bounds_are_read_from_a_recipe() -> None:
    config = QualityBounds(max_word_error=0.1, min_words=3)
    assert parse_config(QualityBounds, config_to_dict(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_words": 5, "max_words": 4}, "min_words <= max_words, got 5 and 4"),
        ({"min_loudness": 0.0}, "min_loudness <= max_loudness, got 0 and -8"),
        ({"max_silence_share": 1.5}, "0 <= max_silence_share <= 1, got 1.5"),
    ],
)
def test_impossible_bounds_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QualityBounds(**settings)
