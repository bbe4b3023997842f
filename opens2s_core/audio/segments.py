"""A segment of encoded audio → samples, by a seek: the rest of a long file is neither read nor decoded."""

import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.container import InputContainer

from opens2s_core.audio.frames import (
    AudioError,
    Block,
    Damage,
    audio_stream,
    decoded_blocks,
    joined,
    open_audio,
    too_long,
    unreadable,
)
from opens2s_core.audio.waveform import Waveform

_PREROLL = 0.5
"""Seconds decoded before a segment: lossy decoders need what comes before, and their first samples are not right."""
_MISSING = 0.25
"""Seconds that may be absent: tables of segments are rounded, so a file may end before its last segment does."""
_LAST = 1e10
"""Seconds or samples. What starts later is a mistake, and would not fit FFmpeg's integers."""
_WITHOUT_TIMES = frozenset({"aac"})
"""Raw streams of FFmpeg's name: a seek in them goes to an estimated place. They are decoded from the start."""


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
    others, and within its precision, as lossy decoders depend on what they decoded before. This does not hold for
    files that were put together, such as chained Ogg: their timestamps start again, so a place is not unique.

    Damage is refused as in whole files where it is in the segment or shortly before it, and does not matter elsewhere.
    Checksums of Ogg pages are not compared with their content; FFmpeg leaves out pages that are damaged, and the gap
    is found if it is of 0.1 s or more and audio follows it.

    Raises :class:`~opens2s_core.audio.frames.AudioError` for audio that cannot be read or ends more than 0.25 s before
    the segment does, and :class:`~opens2s_core.audio.frames.AudioTooLong` where it lasts more than ``max_seconds``.
    """
    if not 0 <= start <= _LAST or not (length is None or 0 < length <= _LAST):
        raise AudioError(f"segment from {start:g} of length {length}: expected 0 to {_LAST:g} and more than 0")
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    first_bytes = source.read(8)
    source.seek(0)
    try:
        opened = open_audio(source)
    except av.FFmpegError as error:
        raise unreadable(error, first_bytes, source.seek(0, io.SEEK_END)) from error
    with opened:
        return _read(opened, start, length, in_samples=in_samples, max_seconds=max_seconds)


def _read(
    file: InputContainer, start: float, length: float | None, *, in_samples: bool, max_seconds: float | None
) -> tuple[Waveform, int]:
    stream = audio_stream(file)
    following = decoded_blocks(file, stream)
    try:
        first = next(following, None)
    except Damage as damage:
        raise damage.after(0.0) from damage
    if first is None:
        return joined([]), 0
    rate = first.rate
    scale = 1 if in_samples else rate
    begin = round(start * scale)
    end = None if length is None else round((start + length) * scale)
    limit = None if max_seconds is None else begin + int(max_seconds * rate)
    if max_seconds is not None and limit is not None and end is not None and end > limit:
        raise too_long(f"segment of {(end - begin) / rate:g} s", max_seconds)
    position = 0
    is_far = begin > len(first.samples) + _PREROLL * rate
    if is_far and first.time is not None and file.format.name not in _WITHOUT_TIMES:
        position, first, following = _seek(file, stream, first.time, begin, rate)
    blocks: list[Waveform] = []
    try:
        for block in itertools.chain([first], following):
            after = position + len(block.samples)
            if after > begin:
                wanted = slice(max(0, begin - position), None if end is None else max(0, end - position))
                blocks.append(block.samples[wanted])
            position = after
            if end is not None and position >= end:
                break
            if max_seconds is not None and limit is not None and position > limit:
                raise too_long(f"audio of more than {max_seconds:g} s", max_seconds)
    except Damage as damage:
        raise damage.after(position / rate) from damage
    needed = begin + 1 if end is None else max(begin + 1, end - int(_MISSING * rate))
    if position < needed:
        until = "its end" if end is None else f"{end / rate:g} s"
        raise AudioError(f"segment from {begin / rate:g} s to {until}: the audio ends at {position / rate:g} s")
    return joined(blocks), rate


def _seek(
    file: InputContainer, stream: av.AudioStream, origin: float, begin: int, rate: int
) -> tuple[int, Block, Iterator[Block]]:
    """The place, in samples, of a block somewhat before ``begin``, that block, and those after it.

    ``origin`` is the time of the file's first sample, and places count from it.
    """
    assert stream.time_base is not None
    for seconds in (begin / rate - _PREROLL, 0.0):  # from the start where a seek goes too far
        try:
            file.seek(int((origin + seconds) / stream.time_base), stream=stream)
            following = decoded_blocks(file, stream, rate)
            first = next(following, None)
        except av.FFmpegError:
            break
        except Damage as damage:
            raise damage.after(seconds) from damage
        if first is None or first.time is None:
            break
        position = round((first.time - origin) * rate)
        if position <= begin:
            return position, first, following
    raise AudioError(f"segment from {begin / rate:g} s: no audio there")
