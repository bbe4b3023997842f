import numpy as np
import pytest

from data_pipeline.steps.loudness import LoudnessConfig, measure_loudness, set_loudness
from opens2s_core.audio import SAMPLE_RATE
from tests.data_pipeline.steps.rows import silence, speech


def tone(seconds: float, peak: float) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * 997 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def test_a_full_scale_tone_has_the_loudness_that_the_standard_gives() -> None:
    """ITU-R BS.1770: a 0 dBFS sine of 997 Hz in one channel is -3.01 LKFS."""
    measured = measure_loudness(tone(3, 1.0))
    assert measured == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("gain", [0.02, 0.3, 1.0])
def test_soft_and_loud_speech_become_equally_loud(gain: float) -> None:
    levelled = set_loudness(speech() * np.float32(gain), LoudnessConfig(target=-23))
    assert measure_loudness(levelled) == pytest.approx(-23, abs=0.1)
    assert levelled.dtype == np.float32


def test_no_sample_exceeds_the_peak() -> None:
    levelled = set_loudness(speech(), LoudnessConfig(target=-5, peak=-1))
    assert np.abs(levelled).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    assert (measure_loudness(levelled) or 0) < -5


@pytest.mark.parametrize("samples", [silence(1), silence(0), tone(0.39, 0.5), tone(1, 1e-5)])
def test_what_has_no_loudness_stays_as_it_is(samples: np.ndarray) -> None:
    assert measure_loudness(samples) is None
    assert set_loudness(samples, LoudnessConfig()) is samples


@pytest.mark.parametrize("settings", [{"target": 0.0}, {"target": -80.0}, {"peak": 1.0}])
def test_impossible_targets_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected -70 < target < 0 and peak <= 0"):
        LoudnessConfig(**settings)
