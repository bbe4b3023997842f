import dataclasses
import itertools

import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.speakers.prosody import EMOTION_RANGES, TONE_RANGES, Prosody, draw, nearest_tone

FEATURES = [field.name for field in dataclasses.fields(Prosody)]
EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "surprised")
TONES = ("neutral", "warm", "gentle", "cheerful", "calm", "concerned", "excited")


def test_every_emotion_and_tone_of_the_embedded_route_has_ranges() -> None:
    assert tuple(EMOTION_RANGES) == EMOTIONS
    assert tuple(TONE_RANGES) == TONES


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("ranges", [EMOTION_RANGES, TONE_RANGES], ids=["emotions", "tones"])
def test_no_single_feature_separates_one_from_all_others(ranges: dict, feature: str) -> None:
    for name in ranges:
        low, high = getattr(ranges[name], feature)
        others = [getattr(ranges[other], feature) for other in ranges if other != name]
        assert any(other_low < high and low < other_high for other_low, other_high in others), name


@pytest.mark.parametrize("ranges", [EMOTION_RANGES, TONE_RANGES], ids=["emotions", "tones"])
def test_any_two_differ_in_a_feature(ranges: dict) -> None:
    for one, other in itertools.combinations(ranges.values(), 2):
        middles = [(sum(getattr(one, feature)), sum(getattr(other, feature))) for feature in FEATURES]
        assert any(abs(a - b) > 0.1 for a, b in middles)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_emotion_is_drawn_over_the_whole_of_its_ranges(emotion) -> None:
    drawn = [draw(emotion, "", seed) for seed in range(300)]
    for feature in FEATURES:
        low, high = getattr(EMOTION_RANGES[emotion], feature)
        values = [getattr(prosody, feature) for prosody in drawn]
        margin = 0.05 * (high - low)
        assert low <= min(values) < low + margin
        assert high - margin < max(values) <= high


def test_the_same_seed_gives_the_same_prosody_and_others_do_not() -> None:
    assert draw("sad", "", 7) == draw("sad", "", 7)
    assert len({draw(emotion, "", seed) for emotion in EMOTIONS for seed in range(50)}) == 50 * len(EMOTIONS)


def test_a_tone_is_drawn_from_its_own_ranges_whatever_the_emotion() -> None:
    assert draw("angry", "calm", 3) == draw("neutral", "calm", 3)
    low, high = TONE_RANGES["calm"].rate
    assert all(low <= draw("happy", "calm", seed).rate <= high for seed in range(50))


def test_an_unknown_emotion_is_neutral_and_one_without_ranges_is_rejected() -> None:
    assert draw("", "", 3) == draw("neutral", "", 3)
    with pytest.raises(RejectedRow, match=r"^unknown emotion: .*neutral, happy.*'disgusted'"):
        draw("disgusted", "", 3)


@pytest.mark.parametrize(
    ("tone", "expected"),
    [
        *((tone, tone) for tone in TONES),
        ("Warm and calm", "warm"),
        ("in a softly spoken way", "gentle"),
        ("enthusiastic, bright", "excited"),
        ("a bit worried", "concerned"),
        ("like a pirate", "neutral"),
        ("温暖", "neutral"),
    ],
)
def test_a_tone_in_other_words_is_the_first_that_is_known(tone: str, expected: str) -> None:
    assert nearest_tone(tone) == expected
