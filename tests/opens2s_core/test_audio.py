import io
import struct
from contextlib import suppress

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from opens2s_core.audio import (
    HOP,
    MAX_RATE,
    MIN_RATE,
    SAMPLE_RATE,
    SEGMENT_FRAMES,
    AudioError,
    AudioTooLong,
    decode_audio,
    encode_audio,
    log_mel,
    resample,
)
from tests.opens2s_core.opens2s_tiny import FEATURES, GOLDEN, recordings
from tests.opens2s_core.parity import close


def tone(seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("container", ["wav", "flac"])
def test_lossless_containers_keep_16_bits(container: str) -> None:
    samples = tone(0.3, 22050)
    decoded, rate = decode_audio(encode_audio(samples, 22050, container=container))
    assert rate == 22050
    np.testing.assert_allclose(decoded, samples, atol=1 / 32768)


@pytest.mark.parametrize("container", ["mp3", "ogg"])
def test_lossy_containers_keep_the_signal(container: str) -> None:
    decoded, rate = decode_audio(encode_audio(tone(1.0), SAMPLE_RATE, container=container))
    assert rate == SAMPLE_RATE
    assert abs(len(decoded) - SAMPLE_RATE) < 3000
    assert 0.2 < np.abs(decoded).mean() < 0.4


@given(st.binary(max_size=200))
def test_bytes_that_are_no_audio_are_refused(data: bytes) -> None:
    with pytest.raises(AudioError, match=f"not a readable audio file \\({len(data)} bytes\\)"):
        decode_audio(data)


def test_a_header_without_samples_is_empty() -> None:
    with pytest.raises(AudioError, match="empty"):
        decode_audio(encode_audio(np.zeros(0, np.float32), SAMPLE_RATE, container="wav"))


def test_audio_longer_than_the_limit_is_refused() -> None:
    data = encode_audio(tone(2.0), SAMPLE_RATE)
    assert len(decode_audio(data, max_seconds=2.0)[0]) == 2 * SAMPLE_RATE
    with pytest.raises(AudioTooLong, match=r"audio of more than 1\.9 s: expected at most 1\.9 s"):
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


def streamed_flac(seconds: float, *, claimed: int = 0) -> bytes:
    """As written to a pipe: the 36 bits of its length in samples are not filled in, or say ``claimed``."""
    data = bytearray(encode_audio(tone(seconds), SAMPLE_RATE))
    data[21:26] = struct.pack(">BI", (data[21] & 0xF0) | claimed >> 32, claimed & 0xFFFFFFFF)
    return bytes(data)


@pytest.mark.parametrize("limit", [None, 3.0])
def test_a_file_that_does_not_say_how_long_it_is_is_read_whole(limit: float | None) -> None:
    samples, rate = decode_audio(streamed_flac(2.0), max_seconds=limit)
    assert (len(samples), rate) == (2 * SAMPLE_RATE, SAMPLE_RATE)
    np.testing.assert_allclose(samples, tone(2.0), atol=1 / 32768)


def test_a_header_that_claims_years_is_damaged() -> None:
    with pytest.raises(AudioError, match="damaged header: it claims 4294967 s"):
        decode_audio(streamed_flac(0.1, claimed=2**36 - 1))


@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_a_recorder_that_crashed_before_it_wrote_the_size_loses_nothing(size: int) -> None:
    data = bytearray(encode_audio(tone(2.0), SAMPLE_RATE, container="wav"))
    data[40:44] = struct.pack("<I", size)
    assert len(decode_audio(bytes(data))[0]) == 2 * SAMPLE_RATE


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_all_streams_of_a_chained_file_are_read(subtype: str) -> None:
    parts = []
    for _ in range(2):
        buffer = io.BytesIO()
        soundfile.write(buffer, tone(2.0), SAMPLE_RATE, format="OGG", subtype=subtype)
        parts.append(buffer.getvalue())
    samples, rate = decode_audio(b"".join(parts))
    assert len(samples) / rate == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("container", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_not_written(container: str, value: float) -> None:
    with pytest.raises(ValueError, match="expected finite samples"):
        encode_audio(np.full(100, value, np.float32), SAMPLE_RATE, container=container)


def test_samples_of_64_bits_are_refused() -> None:
    data = bytearray(encode_audio(tone(0.1), SAMPLE_RATE, container="wav"))
    data[28:36] = struct.pack("<IHH", 8 * SAMPLE_RATE, 8, 64)
    with pytest.raises(AudioError, match="samples of type s64"):
        decode_audio(bytes(data))


MUTATED = {
    container: encode_audio(tone(0.3), SAMPLE_RATE, container=container) for container in ("wav", "flac", "mp3", "ogg")
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MUTATED)), st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8))
def test_damaged_files_are_read_or_refused(container: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(MUTATED[container])
    for position, byte in changes:
        data[position % len(data)] = byte
    with suppress(AudioError):
        samples, rate = decode_audio(bytes(data))
        assert samples.dtype == np.float32
        assert len(samples) > 0
        assert MIN_RATE <= rate <= MAX_RATE


@pytest.mark.parametrize(
    ("container", "rate", "seconds"), [("ogg", SAMPLE_RATE, 200), ("ogg", 44_100, 80), ("mp3", 16_000, 200)]
)
def test_minutes_are_written(container: str, rate: int, seconds: int) -> None:
    samples, own = decode_audio(encode_audio(np.zeros(seconds * rate, np.float32), rate, container=container))
    assert len(samples) / own == pytest.approx(seconds, abs=0.2)


def padded_log_mel(samples: np.ndarray, frames: int, mel_bins: int) -> torch.Tensor:
    padded = np.pad(samples, (0, frames * HOP - len(samples)))
    return log_mel(torch.from_numpy(padded), mel_bins)


def test_files_are_read_as_published() -> None:
    expected = GOLDEN.tensors("feature_extractor")["w0_first64"]
    samples, _ = decode_audio(next(GOLDEN.path.glob("wavs/w0.*")).read_bytes())
    close("features.w0_first64", torch.from_numpy(samples[: len(expected)]), expected, FEATURES)


def test_features_of_a_batch_are_the_published_ones() -> None:
    golden = GOLDEN.tensors("feature_extractor")
    count, mel_bins, frames = golden["shape"].tolist()
    clips = recordings(count)
    longest = max(map(len, clips))
    assert frames == -(-longest // (SEGMENT_FRAMES * HOP)) * SEGMENT_FRAMES  # whole segments of the longest
    features = torch.stack([padded_log_mel(clip, frames, mel_bins) for clip in clips])
    close("features.features_cols", features[:, :, golden["cols"]], golden["features_cols"], FEATURES)
    means, stds = features.double().mean(1).float(), features.double().std(1).float()
    close("features.features_frame_mean", means, golden["features_frame_mean"], FEATURES)
    close("features.features_frame_std", stds, golden["features_frame_std"], FEATURES)
    close("features.shape", torch.tensor(features.shape), golden["shape"], 0)


def test_features_of_a_clip_alone_are_the_published_ones() -> None:
    golden = GOLDEN.tensors("feature_extractor")
    _, mel_bins, frames = golden["single0_shape"].tolist()
    head = golden["single0_features_head"]
    features = padded_log_mel(recordings(1)[0], frames, mel_bins)[None]
    close("features.single0_features_head", features[:, :, : head.shape[2]], head, FEATURES)
    close("features.single0_shape", torch.tensor(features.shape), golden["single0_shape"], 0)


@given(seconds=st.floats(0.01, 3.0), silence=st.integers(400, 30_000), loudness=st.floats(1e-6, 1.0))
def test_silence_behind_a_clip_changes_no_feature_before_it(seconds: float, silence: int, loudness: float) -> None:
    frames = max(int(seconds * SAMPLE_RATE) // HOP, 3)
    noise = (loudness * np.random.default_rng(frames).normal(0, 0.1, frames * HOP)).astype(np.float32)
    padded = frames + 3  # the window of the last frame reaches over the end
    more = padded + silence // HOP
    short, long = padded_log_mel(noise, padded, 80), padded_log_mel(noise, more, 80)
    torch.testing.assert_close(long[:, :padded], short, atol=1e-5, rtol=0)
    assert torch.equal(long[:, padded:], long.min().expand(80, more - padded))
