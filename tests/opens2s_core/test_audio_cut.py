"""Files that declare more audio than they have."""

import io
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
import soundfile

from opens2s_core.audio import AudioCut, decode_audio, decode_whole_audio, encode_audio
from tests.audio_files import noise, noise_file

SECONDS = 4.0


def soundfile_bytes(container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(SECONDS), 16_000, format=container, subtype=subtype)
    return file.getvalue()


def encoded(container: str, codec: str, rate: int = 16_000, **options: str) -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"  # FFmpeg moves the index of an mp4 in files only
        with av.open(str(path), "w", format=container, options={"fflags": "+bitexact", **options}) as output:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(noise(SECONDS)[None], format="fltp", layout="mono")
            frame.sample_rate = 16_000
            converter = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size)
            for part in (*converter.resample(frame), *converter.resample(None)):
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        return path.read_bytes()


@cache
def file(name: str) -> bytes:
    match name:
        case "wav" | "flac" | "mp3 by libsndfile" | "ogg vorbis":
            container = {"mp3 by libsndfile": "mp3", "ogg vorbis": "ogg"}.get(name, name)
            return encode_audio(noise(SECONDS), 16_000, container=container)
        case "wav of floats":
            return soundfile_bytes("WAV", "FLOAT")
        case "wav with 24 bits":
            return soundfile_bytes("WAVEX", "PCM_24")
        case "aiff" | "au":
            return soundfile_bytes(name.upper(), "PCM_16")
        case "mp3" | "ogg opus":
            return noise_file({"ogg opus": "opus"}.get(name, name), SECONDS)
        case "mp3 at 8 kHz":
            return encoded("mp3", "libmp3lame", 8_000)
        case "mp3 without a tag":
            return encoded("mp3", "libmp3lame", write_xing="0")
        case "m4a with its index first":
            return encoded("ipod", "aac", 44_100, movflags="faststart")
        case "fragmented mp4":
            return encoded("mp4", "aac", movflags="frag_keyframe+empty_moov", frag_duration="500000")
        case "aac" | "m4a" | "mp4" | "webm":
            return noise_file(name, SECONDS)
    raise ValueError(name)


WITH_LENGTH = (
    "wav", "wav of floats", "wav with 24 bits", "flac", "aiff", "au", "mp3", "mp3 by libsndfile", "mp3 at 8 kHz",
    "m4a with its index first",
)  # fmt: skip
OGG = ("ogg opus", "ogg vorbis")
UNKNOWN = ("mp3 without a tag", "aac", "webm", "fragmented mp4")


@pytest.mark.parametrize("name", [*WITH_LENGTH, *OGG, *UNKNOWN, "m4a", "mp4"])
def test_a_whole_file_is_decoded(name: str) -> None:
    samples, rate = decode_whole_audio(file(name))
    whole, whole_rate = decode_audio(file(name))
    assert rate == whole_rate
    assert (samples == whole).all()


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", WITH_LENGTH)
def test_a_file_that_was_cut_is_an_error_with_both_lengths(name: str, part: float) -> None:
    data = file(name)[: int(part * len(file(name)))]
    samples, rate = decode_audio(data)
    with pytest.raises(AudioCut, match=r"of the 4\.0\d s that its header declares$") as error:
        decode_whole_audio(data)
    assert str(error.value).startswith(f"audio ends at {len(samples) / rate:.2f} s ")


@pytest.mark.parametrize("name", OGG)
def test_ogg_without_an_end_of_stream_was_cut(name: str) -> None:
    data = file(name)
    last = data.rindex(b"OggS")
    for cut in (data[:last], data[: last + 40], data[: len(data) // 2]):
        with pytest.raises(AudioCut, match=r"^audio ends at [0-3]\.\d\d s without an end of stream$"):
            decode_whole_audio(cut)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_files_are_read_up_to_the_cut(name: str) -> None:
    data = file(name)[: int(0.6 * len(file(name)))]
    samples, rate = decode_whole_audio(data)
    assert 1.5 * rate < len(samples) < 3 * rate


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_wav_may_leave_its_size_open(size: int) -> None:
    data = file("wav")
    place = data.index(b"data") + 4
    samples, _ = decode_whole_audio(data[:place] + struct.pack("<I", size) + data[place + 4 :])
    assert len(samples) == SECONDS * 16_000


def test_a_flac_may_leave_its_length_open() -> None:
    data = bytearray(file("flac"))
    data[21] &= 0xF0  # 36 bits of the first block of metadata
    data[22:26] = bytes(4)
    assert len(decode_whole_audio(bytes(data))[0]) == SECONDS * 16_000


def test_a_few_samples_may_be_missing() -> None:
    data = file("wav")
    assert len(decode_whole_audio(data[:-3200])[0]) == SECONDS * 16_000 - 1600


def test_mp3_files_that_were_put_together_are_longer_than_the_first_declares() -> None:
    data = file("mp3 by libsndfile")
    samples, rate = decode_whole_audio(data + data)
    assert len(samples) > 1.9 * SECONDS * rate
