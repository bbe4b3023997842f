"""Sound in from clients and out to them."""

import base64
import io
import math
import struct
import tracemalloc
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opens2s_core.audio import AudioError, Waveform, encode_audio
from serve_app.api.audio_codec import AudioFormat, SoundEncoder, decode_input, encode_whole

Sound = NDArray[np.int16]
FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
FILES: tuple[AudioFormat, ...] = ("wav", "flac", "mp3", "opus")
RATE = 22_050
OPUS_RATE = 24_000
MP3_DELAY = 1_105
"""Samples of silence that an mp3 stream begins with: encoder and decoder need them, only a finished file says so."""
MP3_PADDING = 2 * 1_152
"""Samples that may stand behind them and the sound, at most."""


def tone(seconds: float, rate: int) -> Waveform:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def base64_file(samples: Waveform, rate: int, container: str = "wav") -> str:
    return base64.b64encode(encode_audio(samples, rate, container=container)).decode()


def spoken(seconds: float, rate: int = RATE) -> Sound:
    """A tone that swells, with a little noise, so that no two parts of it are alike."""
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, int(seconds * rate))
    swelling = np.linspace(0.2, 1.0, len(noise))
    return np.rint((tone(seconds, rate) * swelling + noise) * 0x7FFF).astype(np.int16)


class Forward(soundfile.SoundFile):
    """A file as a player hears it while it comes. Only so does soundfile read a flac file of unknown length."""

    def seekable(self) -> bool:
        return False


def heard(data: bytes) -> tuple[Sound, int]:
    with Forward(io.BytesIO(data)) as file:
        parts = [np.zeros(0, np.int16)]
        while len(part := file.read(1_000, dtype="int16")):
            parts.append(part)
        return np.concatenate(parts), file.samplerate


def streamed(audio_format: AudioFormat, pieces: Iterable[Sound], rate: int = RATE) -> bytes:
    encoder = SoundEncoder(audio_format, rate)
    return b"".join([*(encoder.push(piece) for piece in pieces), encoder.close()])


def joined(pieces: list[Sound]) -> Sound:
    return np.concatenate([np.zeros(0, np.int16), *pieces])


def coded(samples: int, audio_format: AudioFormat, rate: int) -> int:
    """How many samples come out of a finished file that so many at ``rate`` Hz have gone into."""
    return math.ceil(samples * OPUS_RATE / rate) if audio_format == "opus" else samples


pieces_of_sound = st.lists(st.integers(0, 3_000), max_size=8).map(
    lambda sizes: [spoken(1.5)[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
)


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


@pytest.mark.parametrize("prefix", ["data:audio/wav;base64,", "data:;base64,", "data:audio/x-wav;codecs=1;base64,"])
def test_a_data_url_is_heard_as_what_it_holds(prefix: str) -> None:
    sound = base64_file(tone(0.1, 16_000), 16_000)
    np.testing.assert_array_equal(decode_input(prefix + sound, max_seconds=1), decode_input(sound, max_seconds=1))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("data:", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav,RIFF", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav;base64", "expected 'data:<media type>;base64,'"),
        ("data:audio/wav;base64,", "empty"),
        ("data:audio/wav;base64,data:audio/wav;base64,AAAA", "not base64"),
        ("https://example.org/sound.wav", "not base64"),
    ],
)
def test_other_urls_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint):
        decode_input(url, max_seconds=10)


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


def long_mp3(*, prefix: bytes = b"") -> bytes:
    """10 minutes without a header that says so; the prefix may have one that says otherwise."""
    return prefix + 60 * streamed("mp3", [np.zeros(80_000, np.int16)], 8_000)


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
    """Fails unless at most so many samples are read and so many bytes are held."""
    read = 0
    plain_read = soundfile.SoundFile.read

    def counted_read(self: soundfile.SoundFile, *args: Any, **kwargs: Any) -> Any:
        nonlocal read
        got = plain_read(self, *args, **kwargs)
        read += len(got)
        return got

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "read", counted_read)
        tracemalloc.start()
        try:
            yield
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read <= samples
    assert peak <= memory


@pytest.mark.parametrize(
    "long",
    [
        long_wav,
        long_flac,
        partial(long_flac, claimed=0),  # that is: it does not say
        long_mp3,
        long_vorbis,
        long_opus,
        partial(long_opus, last_granule=-1),
    ],
)
def test_a_file_that_unpacks_to_minutes_or_hours_is_refused_unread(long: Callable[[], bytes]) -> None:
    sound = base64.b64encode(long()).decode()
    with work_within(2 * 8_000 + 1, 3 * len(sound) + 500_000), pytest.raises(AudioError, match="expected at most 2 s"):
        decode_input(sound, max_seconds=2)


@pytest.mark.parametrize(
    "long",
    [
        partial(long_flac, claimed=8_000),
        partial(long_mp3, prefix=encode_whole(np.zeros(8_000, np.int16), 8_000, "mp3")),
        partial(long_opus, last_granule=48_000),
    ],
)
def test_of_a_file_that_claims_a_second_no_more_is_read(long: Callable[[], bytes]) -> None:
    sound = base64.b64encode(long()).decode()
    with work_within(8_000, 3 * len(sound) + 500_000):
        assert len(decode_input(sound, max_seconds=2)) <= 16_000


@pytest.mark.parametrize("audio_format", ["wav", "pcm16", "flac", "mp3"])
@given(pieces=pieces_of_sound)
def test_pieces_are_streamed_as_the_whole_is(audio_format: AudioFormat, pieces: list[Sound]) -> None:
    assert streamed(audio_format, pieces) == streamed(audio_format, [joined(pieces)])


@given(pieces=pieces_of_sound)
def test_pieces_of_opus_sound_as_the_whole_does(pieces: list[Sound]) -> None:
    in_pieces, _ = heard(streamed("opus", pieces, OPUS_RATE))
    at_once, _ = heard(streamed("opus", [joined(pieces)], OPUS_RATE))
    np.testing.assert_array_equal(in_pieces, at_once)


@given(pieces=pieces_of_sound)
def test_resampled_pieces_of_opus_sound_as_the_whole_does(pieces: list[Sound]) -> None:
    # Not bit for bit: the last bits of a resampled sample depend on the pieces, and with them the encoder's choices.
    in_pieces, _ = heard(streamed("opus", pieces))
    at_once, _ = heard(streamed("opus", [joined(pieces)]))
    assert len(in_pieces) == len(at_once)
    assert np.linalg.norm(in_pieces - at_once.astype(float)) <= 0.02 * np.linalg.norm(at_once.astype(float))


@given(pieces=pieces_of_sound)
def test_a_stream_is_the_whole_file_but_for_its_lengths(pieces: list[Sound]) -> None:
    sound = joined(pieces)
    assert streamed("pcm16", pieces) == encode_whole(sound, RATE, "pcm16") == sound.astype("<i2").tobytes()
    wav, whole_wav = streamed("wav", pieces), encode_whole(sound, RATE, "wav")
    assert [wav[:4], wav[8:40], wav[44:]] == [whole_wav[:4], whole_wav[8:40], whole_wav[44:]]
    assert wav[4:8] == wav[40:44] == b"\xff\xff\xff\xff"
    flac, whole_flac = streamed("flac", pieces), encode_whole(sound, RATE, "flac")
    assert [flac[:12], flac[18:21], flac[42:]] == [whole_flac[:12], whole_flac[18:21], whole_flac[42:]]
    assert flac[12:18] == bytes(6)  # bytes of the smallest and largest frame: unknown
    assert flac[21:42] == bytes([flac[21] & 0xF0]) + bytes(20)  # samples and checksum: unknown
    mp3, whole_mp3 = streamed("mp3", pieces), encode_whole(sound, RATE, "mp3")
    assert whole_mp3.endswith(mp3)
    assert mp3[:2] == whole_mp3[:2] == b"\xff\xf3"  # an mp3 frame, the first one that has sound
    assert b"Info" in whole_mp3[: len(whole_mp3) - len(mp3)]
    assert b"Info" not in mp3


@pytest.mark.parametrize("audio_format", FILES)
@pytest.mark.parametrize("seconds", [1 / RATE, 0.001, 0.02, 1.0])
def test_a_finished_file_tells_its_length(audio_format: AudioFormat, seconds: float) -> None:
    sound = spoken(seconds)
    file = io.BytesIO(encode_whole(sound, RATE, audio_format))
    assert soundfile.info(file).frames == coded(len(sound), audio_format, RATE)
    file.seek(0)
    assert len(soundfile.read(file)[0]) == coded(len(sound), audio_format, RATE)


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
@given(pieces=pieces_of_sound.filter(lambda pieces: joined(pieces).size))
def test_lossless_streams_have_every_sample(audio_format: AudioFormat, pieces: list[Sound]) -> None:
    samples, rate = heard(streamed(audio_format, pieces))
    assert rate == RATE
    np.testing.assert_array_equal(samples, joined(pieces))


@given(st.integers(1, 30_000))
def test_lossy_streams_have_every_sample_and_the_padding_of_their_codec(length: int) -> None:
    sound = spoken(1.5)[:length]
    assert 0 <= len(heard(streamed("mp3", [sound]))[0]) - MP3_DELAY - length <= MP3_PADDING
    assert len(heard(streamed("opus", [sound]))[0]) == coded(length, "opus", RATE)


@pytest.mark.parametrize("audio_format", FILES)
@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000, RATE, 22_000, OPUS_RATE, 44_100, 48_000, 96_000])
def test_sound_of_any_rate_is_heard_as_it_was(audio_format: AudioFormat, rate: int) -> None:
    sound = spoken(1.0, rate)
    for data in (streamed(audio_format, np.array_split(sound, 9), rate), encode_whole(sound, rate, audio_format)):
        samples, made = heard(data)
        assert abs(len(samples) / made - 1.0) < 0.35
        strongest = np.abs(np.fft.rfft(samples)).argmax() * made / len(samples)
        assert abs(strongest - 440) < 3
        assert abs(np.abs(samples).max() / np.abs(sound).max() - 1.0) < 0.15


@pytest.mark.parametrize(("audio_format", "rate", "delay"), [("mp3", RATE, MP3_DELAY), ("opus", OPUS_RATE, 0)])
def test_lossy_streams_sound_like_what_was_said(audio_format: AudioFormat, rate: int, delay: int) -> None:
    sound = spoken(1.0, rate).astype(float)
    samples = heard(streamed(audio_format, [spoken(1.0, rate)], rate))[0][delay : delay + len(sound)].astype(float)
    samples *= (samples @ sound) / (samples @ samples)  # mp3 comes out a little softer, on purpose
    assert 10 * np.log10((sound @ sound) / ((sound - samples) @ (sound - samples))) > 15


@pytest.mark.parametrize("audio_format", FILES)
def test_a_stream_begins_without_a_click(audio_format: AudioFormat) -> None:
    silence = np.zeros(RATE // 5, np.int16)
    samples, rate = heard(streamed(audio_format, [silence, spoken(0.5)]))
    assert np.abs(samples[: rate // 10]).max() < 0x7FFF / 1_000


@pytest.mark.parametrize("audio_format", FILES)
@pytest.mark.parametrize("rate", [8_000, RATE, 48_000])
def test_what_was_said_is_sent_at_once(audio_format: AudioFormat, rate: int) -> None:
    encoder = SoundEncoder(audio_format, rate)
    said = sent = 0
    data = b""
    for piece in np.split(spoken(1.0, rate), np.arange(rate // 100, rate, rate // 100)):
        part = encoder.push(piece)
        said += len(piece)
        sent = said if part else sent
        data += part
        assert said - sent < 0.15 * rate
        if said == rate // 2:
            samples, made = heard(data)
            assert len(samples) / made > 0.3
    encoder.close()


@pytest.mark.parametrize("audio_format", FORMATS)
def test_nothing_is_kept_of_what_was_sent(audio_format: AudioFormat) -> None:
    encoder = SoundEncoder(audio_format, RATE)
    second = spoken(1.0)
    tracemalloc.start()
    try:
        encoder.push(second)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            encoder.push(second)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000  # of 880,000 bytes; other threads keep some too
    encoder.close()


@pytest.mark.parametrize("pieces", [[], [np.zeros(0, np.int16)]], ids=["no piece", "an empty piece"])
def test_a_reply_without_sound_is_a_file_all_the_same(pieces: list[Sound]) -> None:
    assert streamed("pcm16", pieces) == b"" == encode_whole(np.zeros(0, np.int16), RATE, "pcm16")
    assert len(streamed("wav", pieces)) == 44
    for audio_format in FILES:
        for data in (streamed(audio_format, pieces), encode_whole(np.zeros(0, np.int16), RATE, audio_format)):
            samples, rate = heard(data)
            assert len(samples) / rate < 0.15
            assert not samples.any()


def test_the_header_of_a_wav_comes_with_the_first_samples() -> None:
    encoder = SoundEncoder("wav", RATE)
    assert encoder.push(np.array([1, -2], np.int16))[44:] == b"\x01\x00\xfe\xff"
    assert encoder.push(np.array([3], np.int16)) == b"\x03\x00"
    assert encoder.close() == b""


def test_a_streamed_wav_plays_as_the_whole_one_does() -> None:
    expected, _ = soundfile.read(io.BytesIO(encode_whole(spoken(0.1), RATE, "wav")), dtype="int16")
    samples, rate = soundfile.read(io.BytesIO(streamed("wav", [spoken(0.1)])), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, expected)


def test_a_whole_wav_is_read_by_the_standard_library() -> None:
    with wave.open(io.BytesIO(encode_whole(spoken(0.1), RATE, "wav"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.readframes(RATE) == spoken(0.1).tobytes()


@pytest.mark.parametrize("audio_format", FORMATS)
def test_samples_that_are_not_16_bit_are_refused(audio_format: AudioFormat) -> None:
    with pytest.raises(TypeError):
        encode_whole(tone(0.1, RATE), RATE, audio_format)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        SoundEncoder(audio_format, RATE).push(tone(0.1, RATE))  # type: ignore[arg-type]


@pytest.mark.parametrize("audio_format", ["wav", "flac", "mp3", "opus"])
def test_a_streamed_reply_can_be_sent_back(audio_format: AudioFormat) -> None:
    sound = np.random.default_rng(0).normal(0, 3000, RATE).astype(np.int16)
    heard_again = decode_input(base64.b64encode(streamed(audio_format, [sound])).decode(), max_seconds=2)
    assert abs(len(heard_again) - 16_000) <= 1_200  # the codec's silence
