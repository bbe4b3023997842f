"""Audio files of clients, as decoded for the model."""

import base64
import io
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import AudioError, encode_audio, frames
from serve_app.api.audio_input import decode_input
from serve_app.api.audio_output import AudioFormat
from tests.serve_app.api.audio_files import RATE, base64_file, encode_streamed, recorded, tone


def three_channels() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((10, 3), np.float32), 16_000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("container", ["wav", "flac", "mp3", "ogg"])
def test_files_are_decoded_at_16_khz(container: str) -> None:
    samples = decode_input(base64_file(tone(1.0, 24_000), 24_000, container), max_seconds=2)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16_000) < 1_000
    spectrum = np.abs(np.fft.rfft(samples[:16_000], 16_000))
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_the_limit_is_inclusive() -> None:
    audio = base64_file(tone(1.0, 16_000), 16_000)
    assert len(decode_input(audio, max_seconds=1.0)) == 16_000
    with pytest.raises(AudioError, match=r"more than 0\.9 s: expected at most 0\.9"):
        decode_input(audio, max_seconds=0.9)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "empty"),
        ("not base64!", "not base64"),
        ("äöü", "not base64"),
        (base64.b64encode(b"hello").decode(), "not a readable"),
        (base64_file(np.zeros(0, np.float32), 16_000), "empty"),
        (base64_file(tone(0.1, 16_001), 16_001), "sample rate 16001"),
        (base64.b64encode(three_channels()).decode(), "3 channels"),
    ],
)
def test_unusable_audio_is_refused(data: str, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        decode_input(data, max_seconds=10)


def test_a_header_that_claims_years_is_refused() -> None:
    flac = bytearray(encode_audio(tone(0.1, 16_000), 16_000, container="flac"))
    flac[21:26] = bytes([flac[21] | 0x0F, 255, 255, 255, 255])  # the 36 bits of the stream's length in samples
    with pytest.raises(AudioError, match="damaged header: it claims 4294967 s"):
        decode_input(base64.b64encode(flac).decode(), max_seconds=10)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    wav = encode_audio(tone(0.01, 16_000), 16_000)
    for raw in (data, wav[:44] + data, wav[:20] + data):
        with suppress(AudioError):
            assert decode_input(base64.b64encode(raw).decode(), max_seconds=10).ndim == 1


@pytest.mark.parametrize("prefix", ["data:audio/wav;base64,", "data:;base64,", "data:audio/x-wav;codecs=1;base64,"])
def test_a_data_url_is_decoded(prefix: str) -> None:
    audio = base64_file(tone(0.1, 16_000), 16_000)
    np.testing.assert_array_equal(decode_input(prefix + audio, max_seconds=1), decode_input(audio, max_seconds=1))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("data:", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav,RIFF", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav;base64", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav;base64,", "empty"),
        ("data:audio/wav;base64,data:audio/wav;base64,AAAA", "not base64"),
        ("https://example.org/audio.wav", "not base64"),
    ],
)
def test_other_urls_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        decode_input(url, max_seconds=10)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("webm", "libopus", 48_000),
        ("matroska", "libopus", 16_000),
        ("ogg", "libopus", 48_000),
        ("mp4", "aac", 44_100),
        ("ipod", "aac", 48_000),
        ("adts", "aac", 16_000),
    ],
)
def test_recordings_of_browsers_and_phones_are_decoded(container: str, codec: str, rate: int) -> None:
    recording = base64.b64encode(recorded(1.0, container, codec, rate)).decode()
    samples = decode_input(recording, max_seconds=2)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16_000) < 1_500
    spectrum = np.abs(np.fft.rfft(samples[:16_000], 16_000))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    with pytest.raises(AudioError, match=r"expected at most 0\.5 s"):
        decode_input(recording, max_seconds=0.5)


@contextmanager
def counted_samples() -> Iterator[list[int]]:
    """The samples of each frame that is decoded."""
    counts: list[int] = []
    plain = frames._mono

    def counted(frame: Any) -> Any:
        counts.append(frame.samples)
        return plain(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_mono", counted)
        yield counts


@pytest.mark.parametrize("container", ["webm", "mp4", "adts"])
def test_a_long_recording_is_not_decoded_beyond_the_limit(container: str) -> None:
    recording = recorded(30.0, container, "libopus" if container == "webm" else "aac", 48_000)
    with counted_samples() as counts, pytest.raises(AudioError, match="expected at most 1 s"):
        decode_input(base64.b64encode(recording).decode(), max_seconds=1)
    assert sum(counts) < 1.2 * 48_000


def test_a_container_with_another_codec_is_refused() -> None:
    with pytest.raises(AudioError, match="its audio is alac, expected PCM or one of"):
        decode_input(base64.b64encode(recorded(0.1, "mp4", "alac", 44_100)).decode(), max_seconds=1)


WEBM = recorded(0.2, "webm", "libopus", 48_000)
M4A = recorded(0.2, "ipod", "aac", 44_100)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (WEBM[:100], "not a readable"),
        (WEBM[:4], "not a readable"),
        (M4A[: len(M4A) // 2], "not a readable"),
        (M4A[:8], "not a readable"),
        (b"\xff\xf1" + bytes(50), "not a readable|empty"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "not a readable"),
    ],
)
def test_damaged_recordings_are_refused(file: bytes, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        decode_input(base64.b64encode(file).decode(), max_seconds=1)


@given(st.integers(0, len(WEBM) - 1), st.binary(min_size=1, max_size=8), st.sampled_from([WEBM, M4A]))
@settings(max_examples=60, deadline=None)
def test_changed_recordings_are_decoded_or_refused(position: int, change: bytes, file: bytes) -> None:
    changed = file[:position] + change + file[position + len(change) :]
    with suppress(AudioError):
        assert decode_input(base64.b64encode(changed).decode(), max_seconds=10).ndim == 1


@pytest.mark.parametrize(
    "encoded",
    [
        lambda file: base64.encodebytes(file).decode(),
        lambda file: base64.encodebytes(file).decode().replace("\n", "\r\n"),
        lambda file: base64.urlsafe_b64encode(file).decode(),
        lambda file: base64.b64encode(file).decode().rstrip("="),
        lambda file: base64.urlsafe_b64encode(file).decode().rstrip("="),
        lambda file: " " + base64.b64encode(file).decode() + "\n",
    ],
)
@given(size=st.integers(1, 40))
def test_base64_is_read_in_all_its_forms(encoded: Callable[[bytes], str], size: int) -> None:
    file = encode_audio(np.random.default_rng(size).uniform(-1, 1, size).astype(np.float32), 16_000, container="wav")
    plain = decode_input(base64.b64encode(file).decode(), max_seconds=1)
    np.testing.assert_array_equal(decode_input(encoded(file), max_seconds=1), plain)


def ogg_page(packets: list[bytes], number: int, granule: int, flags: int) -> bytes:
    header = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, number, 0)
    page = bytearray(header + bytes([len(packets), *map(len, packets)]) + b"".join(packets))
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", checksum)
    return bytes(page)


def long_opus(*, last_granule: int | None = None) -> bytes:
    """10 minutes in 16 kB: packets of 2 bytes for 120 ms, and, if the last page does not lie, their length."""
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, 1, 312, 8_000, 0, 0)
    pages, packets = 20, [b"\x1b\x02"] * 255
    granules = [(n + 1) * len(packets) * 5_760 for n in range(pages)]
    if last_granule is not None:
        granules[-1] = last_granule
    return b"".join(
        [ogg_page([head], 0, 0, 2), ogg_page([b"OpusTags" + bytes(8)], 1, 0, 0)]
        + [ogg_page(packets, n + 2, granule, 4 * (n == pages - 1)) for n, granule in enumerate(granules)]
    )


def long_wav() -> bytes:
    return encode_audio(np.zeros(600 * 8_000, np.float32), 8_000)


def long_vorbis() -> bytes:
    return encode_audio(np.zeros(60 * 8_000, np.float32), 8_000, container="ogg")


def long_mp3() -> bytes:
    """10 minutes without a header that says so."""
    return 60 * encode_streamed("mp3", [np.zeros(80_000, np.int16)], 8_000)


def long_flac(*, claimed: int | None = None) -> bytes:
    """3 hours in 270 kB, whose header claims so many samples."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(3 * 60):
            flac.write(np.zeros(60 * 8_000, np.int16))
    data = bytearray(file.getvalue())
    if claimed is not None:
        data[21:26] = struct.pack(">BI", data[21] & 0xF0, claimed)
    return bytes(data)


@contextmanager
def work_within(samples: int, memory: int) -> Iterator[None]:
    """Fails unless at most so many samples are decoded and so many bytes are held."""
    with counted_samples() as counts:
        tracemalloc.start()
        try:
            yield
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sum(counts) <= samples
    assert peak <= memory


@pytest.mark.parametrize(
    "long",
    [
        long_wav,
        long_flac,
        partial(long_flac, claimed=0),  # that is: it does not say
        partial(long_flac, claimed=8_000),
        long_mp3,
        long_vorbis,
        long_opus,
        partial(long_opus, last_granule=-1),
        partial(long_opus, last_granule=48_000),
    ],
)
def test_a_file_that_decodes_to_minutes_or_hours_is_refused_undecoded(long: Callable[[], bytes]) -> None:
    audio = base64.b64encode(long()).decode()
    with work_within(3 * 48_000, 3 * len(audio) + 500_000), pytest.raises(AudioError, match="expected at most 2 s"):
        decode_input(audio, max_seconds=2)


@pytest.mark.parametrize("audio_format", ["wav", "flac", "mp3", "opus"])
def test_a_streamed_reply_can_be_sent_back(audio_format: AudioFormat) -> None:
    audio = np.random.default_rng(0).normal(0, 3000, RATE).astype(np.int16)
    decoded = decode_input(base64.b64encode(encode_streamed(audio_format, [audio])).decode(), max_seconds=2)
    assert abs(len(decoded) - 16_000) <= 1_200  # the codec's silence
