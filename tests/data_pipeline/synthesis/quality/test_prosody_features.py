import numpy as np
import pytest

pytest.importorskip("parselmouth")

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.prosody_features import FEATURES, prosody_features
from tests.spoken import speak

RATE = 16_000


def voice(semitones: np.ndarray, amplitude: np.ndarray | float = 0.3) -> np.ndarray:
    """Harmonics of a pitch in semitones above 100 Hz (samples,)."""
    phase = 2 * np.pi * np.cumsum(100 * 2 ** (semitones / 12)) / RATE
    waves = sum(np.sin(number * phase) / number for number in range(1, 9))
    return (amplitude * waves / 2).astype(np.float32)


def seconds(length: float) -> np.ndarray:
    return np.arange(round(length * RATE)) / RATE


def features(samples: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, prosody_features(Speech(samples, RATE)).tolist(), strict=True))


@pytest.mark.parametrize("semitones", [-3.0, 0.0, 12.0, 24.0])
def test_an_even_voice_has_its_pitch_and_no_movement(semitones: float) -> None:
    found = features(voice(np.full(RATE, semitones)))
    assert found["f0_median"] == pytest.approx(semitones, abs=0.05)
    for name in ("f0_deviation", "f0_range", "f0_slope", "f0_final_slope", "f0_final"):
        assert found[name] == pytest.approx(0, abs=0.2)
    assert found["voiced_share"] > 0.9
    assert found["energy_deviation"] < 3  # of the window at the ends
    assert (found["pause_share"], found["pause_rate"]) == (0, 0)


def test_a_glide_has_its_slope_and_range() -> None:
    found = features(voice(5 * seconds(2.0)))
    assert found["f0_median"] == pytest.approx(5.0, abs=0.2)
    assert found["f0_slope"] == pytest.approx(5.0, abs=0.1)
    assert found["f0_final_slope"] == pytest.approx(5.0, abs=0.3)
    assert found["f0_movement"] == pytest.approx(5.0, abs=0.3)
    assert found["f0_range"] == pytest.approx(0.9 * 10, abs=0.4)
    assert found["f0_deviation"] == pytest.approx(10 / 12**0.5, abs=0.2)
    assert found["f0_final"] == pytest.approx(4.0, abs=0.4)


def test_a_rise_at_the_end_is_in_the_final_features() -> None:
    times = seconds(2.0)
    found = features(voice(np.where(times > 1.6, 20 * (times - 1.6), 0.0)))
    assert found["f0_final_slope"] == pytest.approx(20, abs=2)
    assert found["f0_final"] == pytest.approx(4, abs=0.6)
    assert found["f0_median"] == pytest.approx(0, abs=0.1)


def test_amplitude_changes_the_energy_alone() -> None:
    samples = voice(4 * np.sin(seconds(1.5) * 3), 0.1 + 0.05 * np.sin(seconds(1.5) * 20))
    soft, loud = features(samples), features(4 * samples)
    assert loud.pop("energy_mean") - soft.pop("energy_mean") == pytest.approx(20 * np.log10(4), abs=0.01)
    assert loud == pytest.approx(soft, abs=0.02)


def test_energy_that_falls_has_its_slope() -> None:
    found = features(voice(np.zeros(2 * RATE), 0.5 * 10 ** (-6 * seconds(2.0) / 20)))
    assert found["energy_slope"] == pytest.approx(-6, abs=0.5)
    assert found["energy_range"] == pytest.approx(0.9 * 12, abs=1.0)


@pytest.mark.parametrize("count", [3, 6, 10])
def test_swells_of_a_voice_are_syllables(count: int) -> None:
    length = 2.0
    swell = 0.02 + 0.3 * np.sin(np.pi * count * seconds(length) / length) ** 2
    assert features(voice(np.zeros(round(length * RATE)), swell))["syllable_rate"] == pytest.approx(
        count / length, rel=0.1
    )


def test_a_silence_between_words_is_a_pause() -> None:
    word, gap = voice(np.zeros(round(0.6 * RATE))), np.zeros(round(0.4 * RATE), np.float32)
    found = features(np.concatenate([gap, word, gap, word, gap]))
    assert found["pause_rate"] == pytest.approx(1 / 1.6, rel=0.1)
    assert found["pause_share"] == pytest.approx(0.4 / 1.6, abs=0.05)


def test_noise_has_energy_and_no_pitch() -> None:
    found = features(np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32))
    assert np.isnan(found["f0_median"])
    assert found["voiced_share"] < 0.2
    assert np.isfinite(found["energy_mean"])


@pytest.mark.parametrize("length", [0, 100, RATE])
def test_silence_has_no_features(length: int) -> None:
    assert np.isnan(prosody_features(Speech(np.zeros(length, np.float32), RATE))).all()


def test_emotions_of_a_voice_differ_as_it_renders_them() -> None:
    def mean(emotion: str) -> dict[str, float]:
        clips = [speak("I talked to my mother this morning.", emotion=emotion, seed=seed) for seed in range(4)]
        return dict(zip(FEATURES, np.mean([prosody_features(clip) for clip in clips], axis=0).tolist(), strict=True))

    sad, neutral, happy = mean("sad"), mean("neutral"), mean("happy")
    for name in ("f0_median", "f0_range", "energy_mean"):
        assert sad[name] < neutral[name] < happy[name]
    assert sad["syllable_rate"] < min(neutral["syllable_rate"], happy["syllable_rate"])
