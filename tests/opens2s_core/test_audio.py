import io

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from opens2s_core.audio import SAMPLE_RATE, AudioError, decode_audio, encode_audio, log_mel, resample


def tone(seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("container", ["wav", "flac"])
def test_lossless_containers_keep_16_bits(container: str) -> None:
    samples = tone(0.3, 22050)
    decoded, rate = decode_audio(encode_audio(samples, 22050, container=container))
    assert rate == 22050
    np.testing.assert_allclose(decoded, samples, atol=1 / 32768)


@pytest.mark.parametrize("container", ["mp3", "ogg"])
def test_lossy_containers_keep_the_sound(container: str) -> None:
    decoded, rate = decode_audio(encode_audio(tone(1.0), SAMPLE_RATE, container=container))
    assert rate == SAMPLE_RATE
    assert abs(len(decoded) - SAMPLE_RATE) < 3000
    assert 0.2 < np.abs(decoded).mean() < 0.4


@given(st.binary(max_size=200))
def test_bytes_that_are_no_sound_are_refused(data: bytes) -> None:
    with pytest.raises(AudioError, match=f"not a readable sound file \\({len(data)} bytes\\)"):
        decode_audio(data)


def test_a_header_without_samples_is_empty() -> None:
    with pytest.raises(AudioError, match="empty"):
        decode_audio(encode_audio(np.zeros(0, np.float32), SAMPLE_RATE, container="wav"))


def test_sound_longer_than_the_limit_is_refused() -> None:
    data = encode_audio(tone(2.0), SAMPLE_RATE)
    assert len(decode_audio(data, max_seconds=2.0)[0]) == 2 * SAMPLE_RATE
    with pytest.raises(AudioError, match=r"sound of 2\.0 s: expected at most 1\.9 s"):
        decode_audio(data, max_seconds=1.9)


def test_resampling_keeps_duration_and_pitch() -> None:
    resampled = resample(tone(1.0, 48_000), 48_000, SAMPLE_RATE)
    assert len(resampled) == SAMPLE_RATE
    assert np.abs(np.fft.rfft(resampled)).argmax() == 440


def test_log_mel_is_whispers() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=80)
    expected = extractor(samples, sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(torch.from_numpy(samples), 80), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [44_101, 16_001, 3_000, 384_000])
def test_rates_that_would_cost_gigabytes_to_change_are_refused(rate: int) -> None:
    with pytest.raises(AudioError, match=f"sample rate {rate} Hz: expected a usual one"):
        decode_audio(encode_audio(tone(0.1, rate), rate, container="wav"))


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 24_000, 32_000, 37_800, 44_100, 48_000, 96_000, 192_000])
def test_usual_rates_are_read_and_changed(rate: int) -> None:
    samples, own = decode_audio(encode_audio(tone(0.1, rate), rate, container="wav"))
    assert len(resample(samples, own, SAMPLE_RATE)) == 1600


def test_many_channels_are_refused() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((10, 3)), SAMPLE_RATE, format="WAV")
    with pytest.raises(AudioError, match="3 channels: expected at most 2"):
        decode_audio(buffer.getvalue())
