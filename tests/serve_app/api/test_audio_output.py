"""The audio of replies, encoded as a stream and as a whole."""

import io
import math
import tracemalloc
import wave
from typing import get_args

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.api.audio_output import AudioEncoder, AudioFormat, encode_whole
from tests.serve_app.api.audio_files import (
    RATE,
    Samples,
    concatenate,
    decode_forward,
    encode_streamed,
    swelling_tone,
    tone,
)

FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
FILES: tuple[AudioFormat, ...] = ("wav", "flac", "mp3", "opus")
OPUS_RATE = 24_000
MP3_DELAY = 1_105
"""Samples of silence that an mp3 stream begins with: encoder and decoder need them, only a finished file says so."""
MP3_PADDING = 2 * 1_152
"""Samples that may follow the audio, at most."""


def samples_in_file(samples: int, audio_format: AudioFormat, rate: int) -> int:
    """How many samples come out of a finished file that so many at ``rate`` Hz have gone into."""
    return math.ceil(samples * OPUS_RATE / rate) if audio_format == "opus" else samples


audio_chunks = st.lists(st.integers(0, 3_000), max_size=8).map(
    lambda sizes: [swelling_tone(1.5)[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
)


@pytest.mark.parametrize("audio_format", ["wav", "pcm16", "flac", "mp3"])
@given(chunks=audio_chunks)
def test_a_stream_is_the_same_for_any_chunks(audio_format: AudioFormat, chunks: list[Samples]) -> None:
    assert encode_streamed(audio_format, chunks) == encode_streamed(audio_format, [concatenate(chunks)])


@given(chunks=audio_chunks)
@settings(max_examples=20, deadline=None)
def test_opus_decodes_the_same_for_any_chunks(chunks: list[Samples]) -> None:
    in_chunks, _ = decode_forward(encode_streamed("opus", chunks, OPUS_RATE))
    at_once, _ = decode_forward(encode_streamed("opus", [concatenate(chunks)], OPUS_RATE))
    np.testing.assert_array_equal(in_chunks, at_once)


@given(chunks=audio_chunks)
@settings(max_examples=20, deadline=None)
def test_resampled_opus_decodes_alike_for_any_chunks(chunks: list[Samples]) -> None:
    # Not bit for bit: the last bits of a resampled sample depend on the chunks, and on them what the encoder decides.
    in_chunks, _ = decode_forward(encode_streamed("opus", chunks))
    at_once, _ = decode_forward(encode_streamed("opus", [concatenate(chunks)]))
    assert len(in_chunks) == len(at_once)
    assert np.linalg.norm(in_chunks - at_once.astype(float)) <= 0.02 * np.linalg.norm(at_once.astype(float))


@given(chunks=audio_chunks)
def test_a_stream_is_the_whole_file_but_for_its_lengths(chunks: list[Samples]) -> None:
    audio = concatenate(chunks)
    assert encode_streamed("pcm16", chunks) == encode_whole(audio, RATE, "pcm16") == audio.astype("<i2").tobytes()
    wav, whole_wav = encode_streamed("wav", chunks), encode_whole(audio, RATE, "wav")
    assert [wav[:4], wav[8:40], wav[44:]] == [whole_wav[:4], whole_wav[8:40], whole_wav[44:]]
    assert wav[4:8] == wav[40:44] == b"\xff\xff\xff\xff"
    assert encode_streamed("flac", chunks) == encode_whole(audio, RATE, "flac")
    mp3, whole_mp3 = encode_streamed("mp3", chunks), encode_whole(audio, RATE, "mp3")
    assert whole_mp3.endswith(mp3)
    assert mp3[:2] == whole_mp3[:2] == b"\xff\xf3"  # an mp3 frame, the first one with audio
    assert b"Info" in whole_mp3[: len(whole_mp3) - len(mp3)]
    assert b"Info" not in mp3


@pytest.mark.parametrize("audio_format", FILES)
@pytest.mark.parametrize("seconds", [1 / RATE, 0.001, 0.02, 1.0])
def test_a_whole_file_has_its_length(audio_format: AudioFormat, seconds: float) -> None:
    audio = swelling_tone(seconds)
    file = io.BytesIO(encode_whole(audio, RATE, audio_format))
    assert soundfile.info(file).frames == samples_in_file(len(audio), audio_format, RATE)
    file.seek(0)
    assert len(soundfile.read(file)[0]) == samples_in_file(len(audio), audio_format, RATE)


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
@given(chunks=audio_chunks.filter(lambda chunks: concatenate(chunks).size))
def test_lossless_streams_have_every_sample(audio_format: AudioFormat, chunks: list[Samples]) -> None:
    samples, rate = decode_forward(encode_streamed(audio_format, chunks))
    assert rate == RATE
    np.testing.assert_array_equal(samples, concatenate(chunks))


@pytest.mark.parametrize("audio_format", ["wav", "flac", "opus"])
@given(length=st.integers(1, 30_000))
@settings(max_examples=20, deadline=None)
def test_a_collected_stream_opens_with_its_length(audio_format: AudioFormat, length: int) -> None:
    file = io.BytesIO(encode_streamed(audio_format, [swelling_tone(1.5)[:length]]))
    assert soundfile.info(file).frames == samples_in_file(length, audio_format, RATE)
    file.seek(0)
    assert len(soundfile.read(file)[0]) == samples_in_file(length, audio_format, RATE)


@given(st.integers(1, 30_000))
@settings(max_examples=20, deadline=None)
def test_a_collected_mp3_opens_with_its_length_and_the_padding_of_the_codec(length: int) -> None:
    file = io.BytesIO(encode_streamed("mp3", [swelling_tone(1.5)[:length]]))
    assert 0 <= soundfile.info(file).frames - MP3_DELAY - length <= MP3_PADDING


def test_flac_comes_whole_at_the_end() -> None:
    encoder = AudioEncoder("flac", RATE)
    assert encoder.push(swelling_tone(1.0)) == b""
    assert encoder.close() == encode_whole(swelling_tone(1.0), RATE, "flac")


@pytest.mark.parametrize("audio_format", FILES)
@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000, RATE, 22_000, OPUS_RATE, 44_100, 48_000, 96_000])
def test_audio_of_any_rate_is_preserved(audio_format: AudioFormat, rate: int) -> None:
    audio = swelling_tone(1.0, rate)
    for data in (
        encode_streamed(audio_format, np.array_split(audio, 9), rate),
        encode_whole(audio, rate, audio_format),
    ):
        samples, file_rate = decode_forward(data)
        assert abs(len(samples) / file_rate - 1.0) < 0.35
        strongest = np.abs(np.fft.rfft(samples)).argmax() * file_rate / len(samples)
        assert abs(strongest - 440) < 3
        assert abs(np.abs(samples).max() / np.abs(audio).max() - 1.0) < 0.15


@pytest.mark.parametrize(("audio_format", "rate", "delay"), [("mp3", RATE, MP3_DELAY), ("opus", OPUS_RATE, 0)])
def test_lossy_streams_resemble_the_original(audio_format: AudioFormat, rate: int, delay: int) -> None:
    audio = swelling_tone(1.0, rate).astype(float)
    samples = decode_forward(encode_streamed(audio_format, [swelling_tone(1.0, rate)], rate))[0][
        delay : delay + len(audio)
    ].astype(float)
    samples *= (samples @ audio) / (samples @ samples)  # the encoder makes mp3 a little softer
    assert 10 * np.log10((audio @ audio) / ((audio - samples) @ (audio - samples))) > 15


@pytest.mark.parametrize("audio_format", FILES)
def test_a_stream_begins_without_a_click(audio_format: AudioFormat) -> None:
    silence = np.zeros(RATE // 5, np.int16)
    samples, rate = decode_forward(encode_streamed(audio_format, [silence, swelling_tone(0.5)]))
    assert np.abs(samples[: rate // 10]).max() < 0x7FFF / 1_000


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus"])
@pytest.mark.parametrize("rate", [8_000, RATE, 48_000])
def test_audio_is_sent_at_once(audio_format: AudioFormat, rate: int) -> None:
    encoder = AudioEncoder(audio_format, rate)
    pushed = sent = 0
    data = b""
    for chunk in np.split(swelling_tone(1.0, rate), np.arange(rate // 100, rate, rate // 100)):
        part = encoder.push(chunk)
        pushed += len(chunk)
        sent = pushed if part else sent
        data += part
        assert pushed - sent < 0.15 * rate
        if pushed == rate // 2:
            samples, file_rate = decode_forward(data)
            assert len(samples) / file_rate > 0.3
    encoder.close()


@pytest.mark.parametrize("audio_format", ["wav", "pcm16", "mp3", "opus"])
def test_memory_does_not_grow_with_a_stream(audio_format: AudioFormat) -> None:
    encoder = AudioEncoder(audio_format, RATE)
    second = swelling_tone(1.0)
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


@pytest.mark.parametrize("chunks", [[], [np.zeros(0, np.int16)]], ids=["no chunk", "an empty chunk"])
def test_a_reply_without_audio_is_a_valid_file(chunks: list[Samples]) -> None:
    assert encode_streamed("pcm16", chunks) == b"" == encode_whole(np.zeros(0, np.int16), RATE, "pcm16")
    assert len(encode_streamed("wav", chunks)) == 44
    for audio_format in FILES:
        for data in (encode_streamed(audio_format, chunks), encode_whole(np.zeros(0, np.int16), RATE, audio_format)):
            samples, rate = decode_forward(data)
            assert len(samples) / rate < 0.15
            assert not samples.any()


def test_the_header_of_a_wav_comes_with_the_first_samples() -> None:
    encoder = AudioEncoder("wav", RATE)
    assert encoder.push(np.array([1, -2], np.int16))[44:] == b"\x01\x00\xfe\xff"
    assert encoder.push(np.array([3], np.int16)) == b"\x03\x00"
    assert encoder.close() == b""


def test_a_streamed_wav_decodes_as_the_whole_one() -> None:
    expected, _ = soundfile.read(io.BytesIO(encode_whole(swelling_tone(0.1), RATE, "wav")), dtype="int16")
    samples, rate = soundfile.read(io.BytesIO(encode_streamed("wav", [swelling_tone(0.1)])), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, expected)


def test_a_whole_wav_is_read_by_the_standard_library() -> None:
    with wave.open(io.BytesIO(encode_whole(swelling_tone(0.1), RATE, "wav"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.readframes(RATE) == swelling_tone(0.1).tobytes()


@pytest.mark.parametrize("audio_format", FORMATS)
def test_samples_that_are_not_16_bit_are_refused(audio_format: AudioFormat) -> None:
    with pytest.raises(TypeError):
        encode_whole(tone(0.1, RATE), RATE, audio_format)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AudioEncoder(audio_format, RATE).push(tone(0.1, RATE))  # type: ignore[arg-type]
