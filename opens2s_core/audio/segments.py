"""A segment of encoded audio → samples, by a seek: the rest of a long file is neither read nor decoded."""

import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np

from opens2s_core.audio.decoding import _CODECS, _OPTIONS, AudioError, _check_frame, _mono
from opens2s_core.audio.waveform import Waveform

_PREROLL = 0.5
"""Seconds decoded before a segment: lossy decoders need what comes before, and their first samples are not right."""
_MISSING = 0.25
"""Seconds that may be absent: tables of segments are rounded, so a file may end before its last segment does."""
_LAST = 1e10
"""Seconds or samples. What starts later is a mistake, and would not fit FFmpeg's integers."""
_WITHOUT_TIMES = frozenset({"aac"})
"""Raw streams of FFmpeg's name: a seek in them goes to an estimated place. They are decoded from the start."""


class AudioTooLong(AudioError):
    """Audio of more seconds than the limit."""


def decode_segment(
    file: BinaryIO | bytes,
    start: float,
    length: float | None,
    *,
    in_samples: bool = False,
    max_seconds: float | None = None,
) -> tuple[Waveform, int]:
    """Part of an audio file of the formats of :func:`~opens2s_core.audio.decoding.decode_audio` as mono float32 (n,)
    in [-1, 1]; returns samples and their rate in Hz. A file object must have ``seek``.

    ``start`` and ``length`` (None: to the end) are seconds, or samples at the returned rate where ``in_samples``. The
    samples are those of the whole file decoded and sliced: exactly for wav and flac, within one frame of the codec for
    others, and within its precision, as lossy decoders depend on what they decoded before.

    Raises :class:`AudioError` for audio that cannot be read or ends more than 0.25 s before the segment does, and
    :class:`AudioTooLong` where it lasts more than ``max_seconds``.
    """
    if not 0 <= start <= _LAST or not (length is None or 0 < length <= _LAST):
        raise AudioError(f"segment from {start:g} of length {length}: expected 0 to {_LAST:g} and more than 0")
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with av.open(source, "r", metadata_errors="replace", container_options=_OPTIONS) as opened:
            segment, rate = _read(opened, start, length, in_samples=in_samples, max_seconds=max_seconds)
    except av.FFmpegError as error:
        raise AudioError(
            f"not a readable audio file, or damaged: {error.strerror}; "
            "expected wav, flac, mp3, ogg, opus, webm, m4a, mp4 or aac"
        ) from error
    if not np.isfinite(segment).all():
        raise AudioError("audio has samples that are not finite numbers")
    return segment.clip(-1.0, 1.0), rate


def _read(
    file: av.container.InputContainer,
    start: float,
    length: float | None,
    *,
    in_samples: bool,
    max_seconds: float | None,
) -> tuple[Waveform, int]:
    stream = _audio_stream(file)
    frames = file.decode(stream)
    first = next(frames, None)
    if first is None:
        raise AudioError("audio is empty: it has no samples")
    _check_frame(first)
    rate = first.sample_rate
    scale = 1 if in_samples else rate
    begin = round(start * scale)
    end = None if length is None else round((start + length) * scale)
    limit = None if max_seconds is None else begin + int(max_seconds * rate)
    if limit is not None and end is not None and end > limit:
        raise AudioTooLong(f"segment of {(end - begin) / rate:g} s: expected at most {max_seconds:g} s")
    position, origin = 0, first.pts
    if begin > first.samples + _PREROLL * rate and origin is not None and file.format.name not in _WITHOUT_TIMES:
        position, first, frames = _seek(file, stream, origin, begin, rate)
    blocks: list[Waveform] = []
    for frame in itertools.chain([first], frames):
        _check_frame(frame)
        if frame.sample_rate != rate:
            raise AudioError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz")
        _check_place(frame, stream, origin, position)
        after = position + frame.samples
        if after > begin:
            blocks.append(_mono(frame)[max(0, begin - position) : None if end is None else max(0, end - position)])
        position = after
        if end is not None and position >= end:
            break
        if limit is not None and position > limit:
            raise AudioTooLong(f"audio of more than {max_seconds:g} s: expected at most {max_seconds:g} s")
    needed = begin + 1 if end is None else max(begin + 1, end - int(_MISSING * rate))
    if position < needed:
        until = "its end" if end is None else f"{end / rate:g} s"
        raise AudioError(f"segment from {begin / rate:g} s to {until}: the audio ends at {position / rate:g} s")
    return np.concatenate(blocks), rate


def _audio_stream(file: av.container.InputContainer) -> av.AudioStream:
    stream = next(iter(file.streams.audio), None)
    if stream is None:
        raise AudioError(f"{file.format.name} file without audio")
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "of an unknown kind"
    if codec not in _CODECS and not codec.startswith("pcm_"):
        raise AudioError(f"its audio is {codec}, expected PCM or one of {', '.join(sorted(_CODECS))}")
    stream.codec_context.thread_count = 1
    return stream


def _check_place(frame: av.AudioFrame, stream: av.AudioStream, origin: int | None, position: int) -> None:
    """Decoders skip what is damaged: the time stamps tell. ``position`` is that of the frame by count."""
    if origin is None or stream.time_base is None:
        return
    rate = frame.sample_rate
    # Exact fractions would take as long as decoding, for each of many frames.
    if frame.pts is None or abs((frame.pts - origin) * float(stream.time_base) * rate - position) > _MISSING * rate:
        raise AudioError(f"audio file is damaged after {position / rate:.2f} s: what follows is not in its place")


def _seek(
    file: av.container.InputContainer, stream: av.AudioStream, origin: int, begin: int, rate: int
) -> tuple[int, av.AudioFrame, Iterator[av.AudioFrame]]:
    """The first sample's place of a frame somewhat before ``begin``, that frame, and those after it.

    ``origin`` is the time stamp of the file's first frame, and places count from it.
    """
    assert stream.time_base is not None
    for seconds in (begin / rate - _PREROLL, 0.0):  # from the start where a seek goes too far
        file.seek(origin + int(seconds / stream.time_base), stream=stream)
        frames = file.decode(stream)
        first = next(frames, None)
        if first is None or first.pts is None:
            break
        position = round((first.pts - origin) * stream.time_base * rate)
        if position <= begin:
            return position, first, frames
    raise AudioError(f"segment from {begin / rate:g} s: no audio there")
