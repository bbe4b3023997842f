import sys

import numpy as np
import pytest

from data_pipeline.synthesis.speakers.effects import LEVEL, change_pitch, finish, set_level, stretch_pauses, trim_ends
from data_pipeline.synthesis.speakers.prosody import Prosody
from tests.data_pipeline.synthesis.speakers.signals import blocks, level, pitch, semitones, vowel

RATE = 16_000


@pytest.mark.parametrize("shift", [-3.0, 0.0, 5.0])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.8])
def test_the_median_of_the_pitch_is_shifted_and_its_range_scaled(shift: float, factor: float) -> None:
    pytest.importorskip("parselmouth")
    seconds = np.arange(2 * RATE) / RATE
    samples = vowel(RATE, 160 * 2 ** (3 / 12 * np.sin(2 * np.pi * seconds)))
    changed = change_pitch(samples, RATE, shift, factor)
    before, after = semitones(pitch(samples, RATE)), semitones(pitch(changed, RATE))
    assert len(changed) == len(samples)
    assert changed.dtype == np.float32
    assert np.median(after) - np.median(before) == pytest.approx(shift, abs=0.4)
    assert np.std(after) / np.std(before) == pytest.approx(factor, rel=0.1)


def test_what_has_no_pitch_stays_as_it_is() -> None:
    pytest.importorskip("parselmouth")
    noise = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    silence = np.zeros(RATE, np.float32)
    np.testing.assert_array_equal(change_pitch(silence, RATE, 4.0, 2.0), silence)
    np.testing.assert_allclose(level(change_pitch(noise, RATE, 4.0, 2.0)), level(noise), atol=0.5)


def test_without_praat_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    with pytest.raises(ImportError, match=r"need praat-parselmouth \(pip install 'opens2s-on-ray\[synthesis\]'\)"):
        change_pitch(np.zeros(10, np.float32), RATE, 1.0, 1.0)


@pytest.mark.parametrize(("factor", "seconds"), [(0.0, 0.0), (0.5, 0.2), (1.0, 0.4), (2.5, 1.0)])
def test_pauses_within_the_utterance_are_stretched_and_the_speech_is_not(factor: float, seconds: float) -> None:
    samples = blocks(RATE, (0.3, 0.0), (0.5, 0.4), (0.4, 0.0), (0.6, 0.4), (0.3, 0.0))
    expected = blocks(RATE, (0.3, 0.0), (0.5, 0.4), (seconds, 0.0), (0.6, 0.4), (0.3, 0.0))
    np.testing.assert_array_equal(stretch_pauses(samples, RATE, factor), expected)


def test_closures_and_silence_at_the_ends_are_no_pauses() -> None:
    samples = blocks(RATE, (0.5, 0.0), (0.5, 0.4), (0.08, 0.0), (0.6, 0.4), (0.5, 0.0))
    np.testing.assert_array_equal(stretch_pauses(samples, RATE, 3.0), samples)


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(RATE, np.float32)], ids=["empty", "silent"])
def test_without_speech_nothing_changes(samples: np.ndarray) -> None:
    np.testing.assert_array_equal(finish(samples, RATE, Prosody(pauses=2.0, loudness=6.0)), samples)


@pytest.mark.parametrize("amplitude", [0.01, 0.9])
def test_the_level_is_that_of_the_speech_without_its_pauses(amplitude: float) -> None:
    samples = set_level(blocks(RATE, (0.5, amplitude), (2.0, 0.0), (0.5, amplitude)), RATE, -20.0)
    assert level(samples[: RATE // 2]) == pytest.approx(-20.0, abs=0.1)


def test_peaks_stay_below_full_scale() -> None:
    samples = blocks(RATE, (0.5, 0.05), (0.02, 0.9), (0.5, 0.05))
    loud = set_level(samples, RATE, -10.0)
    assert np.abs(loud).max() == pytest.approx(0.99)
    np.testing.assert_allclose(loud / 1.1, samples, rtol=1e-3, atol=1e-6)


def test_loudness_is_in_decibels_from_the_common_level() -> None:
    samples = blocks(RATE, (1.0, 0.3))
    assert level(finish(samples, RATE, Prosody(loudness=5.0))) == pytest.approx(LEVEL + 5.0, abs=0.1)


@pytest.mark.parametrize(("before", "after"), [(1.0, 2.0), (0.0, 0.1), (0.15, 0.2)])
def test_silence_at_the_ends_is_at_most_a_fifth_of_a_second(before: float, after: float) -> None:
    speech = np.full(RATE, 0.5, np.float32)
    lengths = [round(seconds * RATE) for seconds in (before, after)]
    samples = np.concatenate([np.zeros(lengths[0], np.float32), speech, np.zeros(lengths[1], np.float32)])
    kept = [min(length, RATE // 5) for length in lengths]
    trimmed = trim_ends(samples, RATE)
    assert len(trimmed) == kept[0] + RATE + kept[1]
    assert (trimmed[kept[0] : kept[0] + RATE] == 0.5).all()


def test_a_clip_without_speech_is_not_trimmed() -> None:
    assert len(trim_ends(np.zeros(0, np.float32), RATE)) == 0
