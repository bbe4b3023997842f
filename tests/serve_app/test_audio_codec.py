"""Sound in from clients and out to them."""

import base64
import io
import wave
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.audio import AudioError, Waveform, encode_audio
from serve_app.audio_codec import decode_input, encode_whole, pcm16, stream_header

RATE = 22_050


def tone(seconds: float, rate: int) -> Waveform:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def base64_file(samples: Waveform, rate: int, container: str = "wav") -> str:
    return base64.b64encode(encode_audio(samples, rate, container=container)).decode()


@pytest.mark.parametrize("container", ["wav", "flac", "mp3", "ogg"])
def test_what_comes_in_is_heard_at_16_khz(container: str) -> None:
    heard = decode_input(base64_file(tone(1.0, 24_000), 24_000, container), max_seconds=2)
    assert heard.dtype == np.float32
    assert abs(len(heard) - 16_000) < 1_000
    spectrum = np.abs(np.fft.rfft(heard[:16_000], 16_000))
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_the_limit_is_inclusive() -> None:
    sound = base64_file(tone(1.0, 16_000), 16_000)
    assert len(decode_input(sound, max_seconds=1.0)) == 16_000
    with pytest.raises(AudioError, match=r"1\.0 s: expected at most 0\.9"):
        decode_input(sound, max_seconds=0.9)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "empty"),
        ("not base64!", "not base64"),
        ("äöü", "not base64"),
        (base64.b64encode(b"hello").decode(), "not a readable sound file"),
        (base64_file(np.zeros(0, np.float32), 16_000), "empty"),
        (base64_file(tone(0.1, 16_001), 16_001), "sample rate 16001"),
        (base64_file(np.zeros((10, 3), np.float32), 16_000), "3 channels"),
    ],
)
def test_what_is_not_a_usable_sound_is_refused(data: str, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        decode_input(data, max_seconds=10)


def test_a_header_that_claims_hours_costs_nothing() -> None:
    flac = bytearray(encode_audio(tone(0.1, 16_000), 16_000, container="flac"))
    flac[21:26] = bytes([flac[21] | 0x0F, 255, 255, 255, 255])  # the 36 bits of the stream's length in samples
    with pytest.raises(AudioError, match=r"4294967\.3 s: expected at most 10 s"):
        decode_input(base64.b64encode(flac).decode(), max_seconds=10)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_heard_or_refused(data: bytes) -> None:
    wav = encode_audio(tone(0.01, 16_000), 16_000)
    for raw in (data, wav[:44] + data, wav[:20] + data):
        with suppress(AudioError):
            assert decode_input(base64.b64encode(raw).decode(), max_seconds=10).ndim == 1


@given(st.lists(st.floats(-2, 2, width=32)))
def test_streamed_samples_are_those_of_a_wav_file(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    whole = encode_whole(np.clip(samples, -1, 1), RATE, "wav")
    with wave.open(io.BytesIO(whole)) as file:
        assert pcm16(samples) == file.readframes(len(samples))


def test_pieces_of_pcm_join_to_the_whole() -> None:
    samples = tone(0.1, RATE)
    assert b"".join(pcm16(piece) for piece in np.array_split(samples, 7)) == encode_whole(samples, RATE, "pcm16")


def test_a_streamed_wav_plays_as_the_whole_one_does() -> None:
    samples = tone(0.1, RATE)
    streamed = stream_header("wav", RATE) + pcm16(samples)
    heard, rate = soundfile.read(io.BytesIO(streamed), dtype="float32")
    expected, _ = soundfile.read(io.BytesIO(encode_whole(samples, RATE, "wav")), dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(heard, expected)


def test_bare_samples_have_no_header() -> None:
    assert stream_header("pcm16", RATE) == b""


@pytest.mark.parametrize("audio_format", ["wav", "flac", "mp3", "opus"])
def test_a_whole_reply_can_be_read_back(audio_format: str) -> None:
    file = io.BytesIO(encode_whole(tone(1.0, RATE), RATE, audio_format))  # type: ignore[arg-type]
    heard, rate = soundfile.read(file)
    assert abs(len(heard) / rate - 1.0) < 0.1
    assert abs(np.abs(heard).max() - 0.5) < 0.1


@pytest.mark.parametrize("audio_format", ["wav", "pcm16", "flac", "mp3", "opus"])
def test_a_silent_reply_is_still_a_file(audio_format: str) -> None:
    assert isinstance(encode_whole(np.zeros(0, np.float32), RATE, audio_format), bytes)  # type: ignore[arg-type]
