import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.audio_measures import FRAME_SECONDS, AudioMeasures, measure_audio
from tests.spoken import speak

RATE = 16_000


def tone(seconds: float, amplitude: float = 0.5, hertz: float = 997.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def measured(*parts: np.ndarray) -> AudioMeasures:
    return measure_audio(Speech(np.concatenate(parts), RATE))


def test_silences_have_the_lengths_that_were_put_in() -> None:
    found = measured(silence(0.3), tone(1.0), silence(0.25), tone(0.5), silence(0.4), tone(0.35), silence(0.2))
    assert found.duration == pytest.approx(3.0)
    assert found.leading_silence == pytest.approx(0.3)
    assert found.trailing_silence == pytest.approx(0.2)
    assert found.longest_silence == pytest.approx(0.4)
    assert found.silence_share == pytest.approx((0.3 + 0.25 + 0.4 + 0.2) / 3)
    assert found.speech_seconds == pytest.approx(2.5)
    assert found.speech_rate(10) == pytest.approx(4.0)


@given(
    before=st.integers(0, 8_000),
    during=st.integers(1_600, 16_000),
    after=st.integers(0, 8_000),
    gain=st.floats(0.02, 1),
)
def test_silence_at_the_ends_is_found_within_a_frame_at_any_gain(
    before: int, during: int, after: int, gain: float
) -> None:
    found = measured(silence(before / RATE), tone(during / RATE, gain), silence(after / RATE))
    assert found.leading_silence == pytest.approx(before / RATE, abs=FRAME_SECONDS)
    assert found.trailing_silence == pytest.approx(after / RATE, abs=FRAME_SECONDS)
    assert found.silence_share == pytest.approx(
        (before + after) / (before + during + after), abs=2 * FRAME_SECONDS / 0.1
    )


def test_quiet_noise_is_silence_beside_speech_and_not_alone() -> None:
    noise = np.random.default_rng(0).normal(0, 0.002, RATE).astype(np.float32)
    assert measured(noise, tone(1.0)).leading_silence == pytest.approx(1.0)
    assert measured(noise).silence_share == 0


def test_a_silent_clip_is_silence_throughout() -> None:
    found = measured(silence(0.7))
    assert (found.leading_silence, found.trailing_silence, found.longest_silence) == pytest.approx((0.7, 0.7, 0.7))
    assert (found.silence_share, found.peak, found.loudness) == (1.0, 0.0, None)
    assert found.speech_seconds == 0
    assert found.speech_rate(3) is None


@pytest.mark.parametrize("amplitude", [1.2, 2.0, 5.0])
def test_the_clipped_share_of_a_sine_is_that_of_its_flat_tops(amplitude: float) -> None:
    found = measured(np.clip(tone(1.0, amplitude, 97.0), -1, 1))
    assert found.clipped_share == pytest.approx(1 - 2 / math.pi * math.asin(0.999 / amplitude), abs=0.01)
    assert found.peak == 1.0


def test_a_sine_at_full_scale_is_not_clipped() -> None:
    assert measured(tone(1.0, 1.0)).clipped_share == 0


def test_a_sine_of_997_hertz_at_full_scale_has_the_loudness_of_the_standard() -> None:
    """ITU-R BS.1770: -3.01 LUFS."""
    assert measured(tone(2.0, 1.0)).loudness == pytest.approx(-3.01, abs=0.1)
    assert measured(tone(2.0, 0.1)).loudness == pytest.approx(-23.01, abs=0.1)
    assert measured(tone(0.3)).loudness is None


def test_speech_at_half_the_rate_has_twice_the_words_per_second() -> None:
    speech = speak("We can talk about it tomorrow.")
    rate = measure_audio(speech).speech_rate(6)
    faster = measure_audio(Speech(speech.samples, 2 * speech.rate)).speech_rate(6)
    assert rate is not None
    assert 2 < rate < 6
    assert faster == pytest.approx(2 * rate, rel=0.05)


def test_a_clip_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="a clip with samples, got none"):
        measure_audio(Speech(np.zeros(0, np.float32), RATE))
