import io

import numpy as np
import pytest

from opens2s_core.audio import AudioError, AudioTooLong, decode_audio, decode_segment, encode_audio, frames
from tests.audio_files import noise, noise_file, video_file

SECONDS = 60.0
FRAMES = {"wav": 0, "flac": 0, "mp3": 1152, "opus": 960, "m4a": 1024, "mp4": 1024, "webm": 960, "aac": 1024}
"""Samples in a frame of the codec, the largest error of a segment's place."""
CLOSE = 0.005
"""Mean difference that what a decoder did before leaves, of noise with a peak of 0.15."""


class CountingFile(io.BytesIO):
    """Counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def lag(segment: np.ndarray, whole: np.ndarray, begin: int, most: int) -> int:
    """By how many samples ``segment`` lies from ``begin`` in ``whole``, at most ``most``."""
    places = range(-min(most, begin), most + 1)
    errors = [np.abs(whole[begin + n : begin + n + len(segment)] - segment).mean() for n in places]
    assert min(errors) < CLOSE
    return places[int(np.argmin(errors))]


@pytest.mark.parametrize("extension", FRAMES)
@pytest.mark.parametrize(("start", "length"), [(0.0, 1.0), (0.3, 0.5), (30.123, 2.0), (59.0, 1.0)])
def test_a_segment_is_that_of_the_whole_file_decoded_and_sliced(extension: str, start: float, length: float) -> None:
    data = noise_file(extension, SECONDS)
    whole, whole_rate = decode_audio(data)
    segment, rate = decode_segment(data, start, length)
    assert rate == whole_rate
    begin, end = round(start * rate), round((start + length) * rate)
    assert abs(len(segment) - (min(end, len(whole)) - begin)) <= FRAMES[extension]
    if extension in ("wav", "flac"):
        np.testing.assert_array_equal(segment, whole[begin:end])
    else:
        inner = segment[: rate // 4]
        assert abs(lag(inner, whole, begin, 60)) <= FRAMES[extension]


@pytest.mark.parametrize("extension", ["mp3", "opus", "m4a", "mp4", "aac"])
def test_lossy_segments_with_exact_time_stamps_are_in_place_to_the_sample(extension: str) -> None:
    data = noise_file(extension, SECONDS)
    whole, rate = decode_audio(data)
    segment, _ = decode_segment(data, 41.7, 1.5)
    begin = round(41.7 * rate)
    assert lag(segment[: rate // 4], whole, begin, 60) == 0


def test_the_audio_of_a_video_is_read() -> None:
    data = video_file(30.0)
    whole, rate = decode_audio(data)
    np.testing.assert_array_equal(decode_segment(data, 0, None)[0], whole)
    assert lag(decode_segment(data, 20.4, 1.0)[0][: rate // 4], whole, round(20.4 * rate), 60) == 0


def test_places_can_be_samples() -> None:
    data = noise_file("flac", SECONDS)
    segment, _ = decode_segment(data, 400_001, 333, in_samples=True)
    np.testing.assert_array_equal(segment, decode_audio(data)[0][400_001:400_334])


def test_without_a_length_it_goes_to_the_end() -> None:
    data = noise_file("flac", SECONDS)
    segment, _ = decode_segment(data, 58.5, None)
    np.testing.assert_array_equal(segment, decode_audio(data)[0][936_000:])


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "opus", "m4a", "mp4", "webm"])
def test_few_frames_of_a_long_file_are_decoded(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise_file(extension, 180.0)
    decoded = []
    monkeypatch.setattr(frames, "_check_frame", decoded.append)
    _, rate = decode_segment(data, 150.0, 1.0)
    assert sum(frame.samples for frame in decoded) < 8 * rate


@pytest.mark.parametrize("extension", ["wav", "flac", "opus", "m4a", "mp4", "webm"])
def test_few_bytes_of_a_long_file_are_read(extension: str) -> None:
    """Of an mp3 the packets before the segment are read too, as it has no table of places."""
    file = CountingFile(noise_file(extension, 180.0))
    decode_segment(file, 150.0, 1.0)
    assert file.count < 0.4 * len(file.getvalue())


@pytest.mark.parametrize("extension", FRAMES)
@pytest.mark.parametrize("start", [59.5, 100.0, 1e9])
def test_a_segment_beyond_the_end_is_an_error(extension: str, start: float) -> None:
    with pytest.raises(AudioError, match=r"the audio ends at|no audio there|damaged"):
        decode_segment(noise_file(extension, SECONDS), start, 2.0)


def test_a_file_may_end_a_moment_before_its_last_segment() -> None:
    segment, rate = decode_segment(noise_file("wav", SECONDS), 59.0, 1.2)
    assert len(segment) == rate


@pytest.mark.parametrize(
    ("start", "length"), [(-0.1, 1.0), (0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0), (1e30, 1.0), (0.0, float("inf"))]
)
def test_impossible_segments_are_errors(start: float, length: float) -> None:
    with pytest.raises(AudioError, match="expected 0 to 1e\\+10 and more than 0"):
        decode_segment(noise_file("wav", SECONDS), start, length)


def test_longer_audio_than_the_limit_is_an_error() -> None:
    data = encode_audio(noise(2.0), 16_000)
    assert len(decode_segment(data, 0, None, max_seconds=2.0)[0]) == 32_000
    with pytest.raises(AudioTooLong, match=r"audio of more than 1\.9 s: expected at most 1\.9 s"):
        decode_segment(data, 0, None, max_seconds=1.9)
    with pytest.raises(AudioTooLong, match=r"segment of 1\.5 s: expected at most 1 s"):
        decode_segment(data, 0.2, 1.5, max_seconds=1)


@pytest.mark.parametrize("data", [b"", b"no audio at all", noise_file("flac", 5.0)[:100]])
def test_bytes_that_are_no_audio_are_an_error(data: bytes) -> None:
    with pytest.raises(AudioError):
        decode_segment(data, 0, None)


def with_hole(data: bytes) -> bytes:
    """Zeros for what is about second 30 of 60."""
    start = len(data) // 2
    return data[:start] + bytes(2_000) + data[start + 2_000 :]


damaged_files = pytest.mark.parametrize("extension", ["flac", "opus", "webm", "m4a", "aac"])


@damaged_files
def test_damage_within_a_segment_is_an_error_with_its_second(extension: str) -> None:
    with pytest.raises(AudioError, match=r"^audio cannot be read beyond (29|3[01])\.\d\d s: .*(damaged|missing)"):
        decode_segment(with_hole(noise_file(extension, SECONDS)), 28.0, 5.0)


@damaged_files
def test_damage_after_a_segment_does_not_matter(extension: str) -> None:
    data = noise_file(extension, SECONDS)
    np.testing.assert_array_equal(decode_segment(with_hole(data), 20.0, 2.0)[0], decode_segment(data, 20.0, 2.0)[0])


@pytest.mark.parametrize("extension", ["flac", "opus", "webm", "m4a"])
def test_damage_before_a_segment_does_not_matter(extension: str) -> None:
    data = noise_file(extension, SECONDS)
    np.testing.assert_array_equal(decode_segment(with_hole(data), 40.0, 2.0)[0], decode_segment(data, 40.0, 2.0)[0])


def test_a_segment_to_the_end_of_a_cut_file_is_read_up_to_there() -> None:
    data = noise_file("flac", SECONDS)
    segment, rate = decode_segment(data[: len(data) // 2], 20.0, None)
    assert 9 * rate < len(segment) < 11 * rate
    np.testing.assert_array_equal(segment, decode_segment(data, 20.0, 12.0)[0][: len(segment)])
