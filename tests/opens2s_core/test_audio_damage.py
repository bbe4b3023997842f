"""Files that were cut, damaged, put together, or are of formats that are not read."""

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import product

import av
import numpy as np
import pytest
import soundfile

from opens2s_core.audio import (
    SAMPLE_RATE,
    AudioError,
    AudioTooLong,
    Waveform,
    decode_audio,
    decode_segment,
    encode_audio,
    frames,
)
from opens2s_core.audio.ogg import PAGE, intact_pages

SECONDS = 6.0


def noise(seconds: float, rate: int = SAMPLE_RATE) -> Waveform:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * rate)).astype(np.float32)


def encoded(container: str, codec: str, rate: int, *, layout: str = "mono", **options: str) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=container, options={"fflags": "+bitexact", **options}) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(noise(SECONDS, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        converter = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for converted in converter.resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return data.getvalue()


def vorbis(seconds: float, rate: int = SAMPLE_RATE) -> bytes:
    return encode_audio(noise(seconds, rate), rate, container="ogg")


@cache
def file(name: str) -> bytes:
    match name:
        case "wav" | "flac" | "mp3":
            return encode_audio(noise(SECONDS), SAMPLE_RATE, container=name)
        case "aac":
            return encoded("adts", "aac", SAMPLE_RATE)
        case "m4a":
            return encoded("ipod", "aac", 44_100)
        case "fragmented mp4":
            return encoded("mp4", "aac", 44_100, movflags="frag_keyframe+empty_moov", frag_duration="500000")
        case "ogg opus":
            return encoded("ogg", "libopus", 48_000)
        case "ogg vorbis":
            return vorbis(SECONDS)
        case "webm":
            return encoded("webm", "libopus", 48_000)
    raise ValueError(name)


FORMATS = ("wav", "flac", "mp3", "aac", "fragmented mp4", "ogg opus", "ogg vorbis", "webm")


def zeroed(data: bytes, position: int, size: int) -> bytes:
    return data[:position] + bytes(size) + data[position + size :]


def pages(data: bytes) -> list[int]:
    """Where the pages of an Ogg file start."""
    return [position for position in range(len(data)) if data.startswith(PAGE, position)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.5, 0.83, 0.99])
def test_a_file_that_was_cut_is_read_up_to_there(name: str, part: float) -> None:
    data = file(name)
    whole, rate = decode_audio(data)
    samples, _ = decode_audio(data[: int(part * len(data))])
    assert (part * SECONDS - 1.3) * rate < len(samples) <= len(whole)
    common = len(samples) - rate // 20  # what the codec blends over at the end
    np.testing.assert_allclose(samples[:common], whole[:common], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in (*FORMATS, "m4a") if name != "wav"])
def test_damage_inside_a_file_is_an_error_with_its_second(name: str) -> None:
    data = file(name)
    with pytest.raises(AudioError, match=r"cannot be read beyond [123]\.\d\d s: .*(damaged|missing)"):
        decode_audio(zeroed(data, int(0.45 * len(data)), 300))


@pytest.mark.parametrize("bit", range(0, 80_000, 7_919))
def test_each_changed_bit_of_a_flac_frame_is_found(bit: int) -> None:
    data = bytearray(file("flac"))
    data[20_000 + bit // 8] ^= 1 << bit % 8
    with pytest.raises(AudioError, match="cannot be read beyond"):
        decode_audio(bytes(data))


def test_a_changed_bit_among_the_first_flac_frames_is_found() -> None:
    data = bytearray(file("flac"))
    for position in range(9_000, 16_000, 500):
        data[position] ^= 4
        with pytest.raises(AudioError, match="cannot be read beyond"):
            decode_audio(bytes(data))
        data[position] ^= 4


ogg_files = pytest.mark.parametrize("name", ["ogg opus", "ogg vorbis"])


@ogg_files
def test_pages_are_intact(name: str) -> None:
    assert intact_pages(file(name)) == (file(name), False)


@ogg_files
@pytest.mark.parametrize("page", [0, 1, 2, 3, -1])
def test_no_damaged_page_is_skipped(name: str, page: int) -> None:
    data = file(name)
    with pytest.raises(AudioError, match=r"(an Ogg page is|its first pages are) damaged"):
        decode_audio(zeroed(data, pages(data)[page] + 60, 20))


@ogg_files
def test_a_missing_page_is_noticed(name: str) -> None:
    data = file(name)
    starts = pages(data)
    with pytest.raises(AudioError, match=r"\d\.\d\d s of audio are missing"):
        decode_audio(data[: starts[4]] + data[starts[5] :])


@ogg_files
@pytest.mark.parametrize("size", [1, 26, 27, 28, 60])
def test_the_first_bytes_of_a_page_are_a_cut(name: str, size: int) -> None:
    data = file(name)
    start = pages(data)[4]
    assert len(decode_audio(data[: start + size])[0]) == len(decode_audio(data[:start])[0])


@ogg_files
def test_what_follows_the_last_page_is_ignored(name: str) -> None:
    assert len(decode_audio(file(name) + bytes(100_000))[0]) == len(decode_audio(file(name))[0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: vorbis(2.0), lambda: vorbis(2.0, 44_100)),
        (lambda: encoded("ogg", "libopus", 48_000), lambda: encoded("ogg", "libopus", 48_000, layout="stereo")),
        (lambda: encoded("ogg", "libopus", 48_000), lambda: vorbis(2.0)),
    ],
    ids=["rate", "channels", "codec"],
)
def test_chained_streams_that_differ_are_refused(first: Callable[[], bytes], second: Callable[[], bytes]) -> None:
    with pytest.raises(AudioError, match="a second stream begins, with another codec, rate or number of channels"):
        decode_audio(first() + second())


def without_packets(data: bytes, container: str, start: float, end: float) -> bytes:
    """A file whose packets from ``start`` to ``end`` in seconds were never written."""
    copy = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(copy, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size and not start <= float(packet.pts * packet.time_base) < end:
                packet.stream = stream
                output.mux(packet)
    return copy.getvalue()


def test_pauses_that_opus_leaves_out_in_webm_are_silence() -> None:
    whole, rate = decode_audio(file("webm"))
    data = without_packets(file("webm"), "webm", 2.0, 3.5)
    samples, _ = decode_audio(data)
    assert len(samples) == pytest.approx(len(whole), abs=rate // 500)
    np.testing.assert_array_equal(samples[: int(1.9 * rate)], whole[: int(1.9 * rate)])
    assert not samples[int(2.1 * rate) : int(3.4 * rate)].any()
    np.testing.assert_allclose(samples[4 * rate : 5 * rate], whole[4 * rate : 5 * rate], atol=1e-3)
    silence, _ = decode_segment(data, 2.8, 0.5)
    np.testing.assert_array_equal(silence, np.zeros(rate // 2))


def test_silence_of_pauses_counts_for_the_limit() -> None:
    with pytest.raises(AudioTooLong, match="audio of more than 3 s"):
        decode_audio(without_packets(file("webm"), "webm", 1.0, 5.0), max_seconds=3.0)


@pytest.mark.parametrize("part", [0.1, 0.6])
def test_bytes_that_are_missing_beside_a_pause_are_damage(part: float) -> None:
    data = without_packets(file("webm"), "webm", 2.0, 3.5)
    with pytest.raises(AudioError, match="cannot be read beyond"):
        decode_audio(zeroed(data, int(part * len(data)), 3_000))


def test_a_pause_of_more_than_a_minute_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_MAX_PAUSE", 1.0)
    with pytest.raises(AudioError, match=r"cannot be read beyond 1\.99 s: 1\.5\d s of audio are missing"):
        decode_audio(without_packets(file("webm"), "webm", 2.0, 3.5))


def test_packets_left_out_elsewhere_are_damage() -> None:
    with pytest.raises(AudioError, match=r"cannot be read beyond 2\.\d\d s: 1\.\d\d s of audio are missing"):
        decode_audio(without_packets(file("m4a"), "mp4", 2.0, 3.5))


def test_an_m4a_file_without_its_index_is_refused() -> None:
    data = file("m4a")
    with pytest.raises(AudioError, match=r"its index \(moov\), .* is missing"):
        decode_audio(data[: len(data) // 2])


ID3 = b"ID3\x04\x00\x00" + bytes([0, 0, 0, 10]) + bytes(10)


@pytest.mark.parametrize("before", [bytes(100_000) + ID3, ID3 + bytes(3_000), ID3 + bytes(100_000)])
def test_zeros_before_an_mp3_are_skipped(before: bytes) -> None:
    alone, _ = decode_audio(file("mp3"))
    padded, _ = decode_audio(before + file("mp3"))
    assert 0 <= len(padded) - len(alone) < 2_304  # two frames: there the encoder's delay counts as audio


@pytest.mark.parametrize("name", ["flac", "mp3", "aac"])
@pytest.mark.parametrize("after", [bytes(10), bytes(100_000), b"TAG" + bytes(125), b"LYRICSBEGIN" + 500 * b"la la "])
def test_what_follows_the_last_frame_is_ignored(name: str, after: bytes) -> None:
    alone, rate = decode_audio(file(name))
    samples, _ = decode_audio(file(name) + after)
    assert 0 <= len(samples) - len(alone) < 0.1 * rate  # an MP3 whose header no longer fits ends with its padding


@pytest.mark.parametrize("tag", [b"", ID3, b"TAG" + bytes(125)])
def test_mp3_files_that_were_put_together_are_read_whole(tag: bytes) -> None:
    samples, rate = decode_audio(tag + file("mp3") + tag + file("mp3"))
    assert len(samples) / rate == pytest.approx(2 * SECONDS, abs=0.3)


@pytest.mark.parametrize(
    ("container", "codec"), [("caf", "pcm_s16le"), ("ac3", "ac3"), ("mpegts", "aac"), ("flv", "aac"), ("tta", "tta")]
)
def test_formats_that_are_not_supported_are_named_so(container: str, codec: str) -> None:
    data = encoded(container, codec, 48_000)
    with pytest.raises(AudioError, match="its format is not supported; expected wav, flac, mp3, ogg, opus, webm, m4a"):
        decode_audio(data)


PCM = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")


@pytest.mark.parametrize(
    ("container", "subtype"),
    [pair for pair in product(["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU"], PCM) if soundfile.check_format(*pair)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_is_read_whole(container: str, subtype: str, channels: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.repeat(noise(0.2)[:, None], channels, axis=1), SAMPLE_RATE, subtype, format=container)
    samples, rate = decode_audio(buffer.getvalue())
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(samples, noise(0.2), atol=0.02)


CLAIM = 0x6000_0000  # 1.5 GB
WAV_WITH_A_LONG_TAG = (
    struct.pack("<4sI4s4sI8sI", b"RIFF", CLAIM, b"WAVE", b"LIST", CLAIM, b"INFOISFT", CLAIM - 100) + b"a"
)
MP4_WITH_MANY_KEYS = b"".join(
    [
        struct.pack(">I4s4sI4s", 20, b"ftyp", b"M4A ", 0, b"isom"),
        struct.pack(">I4sI4sI", CLAIM, b"moov", CLAIM, b"meta", 0),
        struct.pack(">I4sII4s13x", 33, b"hdlr", 0, 0, b"mdta"),
        struct.pack(">I4sII", CLAIM, b"keys", 0, CLAIM // 8),
    ]
)


MEASURE = """
import resource, sys
from opens2s_core.audio import AudioError, decode_audio
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_audio(sys.stdin.buffer.read())
except AudioError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("data", [WAV_WITH_A_LONG_TAG, MP4_WITH_MANY_KEYS], ids=["wav", "mp4"])
def test_a_header_that_claims_gigabytes_reserves_no_memory(data: bytes) -> None:
    run = subprocess.run([sys.executable, "-c", MEASURE], input=data, capture_output=True, check=True, timeout=120)
    assert int(run.stdout) < 100  # MB
