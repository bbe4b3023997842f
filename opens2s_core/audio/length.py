"""Whether a file has all the audio that it declares."""

import av
from av.container import InputContainer

from opens2s_core.audio import ogg

_FORMATS_WITH_LENGTH = ("aiff", "au", "flac", "mp3", "mov,mp4,m4a,3gp,3g2,mj2")
"""FFmpeg's names. Of others, WAV among them, FFmpeg computes the length from what is there, as it does for MP3 without
a count of its frames."""
_MISSING = 0.25
"""Seconds that may be missing: encoders add silence that not every header counts."""
_UNKNOWN_SIZE = 0x7FFF_0000
"""Programs that write WAV to a pipe declare this many bytes or more, since they do not know how many will follow."""
_MP3_TAGS = (b"Xing", b"Info")
_MP3_TAG_WITHIN = 4096
"""Bytes from the first frame of an MP3. Its tag lies in that frame."""


class Completeness:
    """What an open file declares, to compare with what was decoded of it."""

    def __init__(self, data: bytes, file: InputContainer, stream: av.AudioStream) -> None:
        """``data`` are the bytes of ``file``, in Ogg its intact pages alone."""
        self._data, self._format, self._declared = data, file.format.name, None
        if self._format in _FORMATS_WITH_LENGTH and stream.duration is not None and stream.time_base is not None:
            self._declared = float(stream.duration * stream.time_base)

    def problem(self, count: int, rate: int) -> str | None:
        """Why ``count`` samples at ``rate`` Hz are not the whole; None where they are, or where it is not known."""
        seconds = count / rate
        if self._format == "ogg":
            return None if ogg.ends_stream(self._data) else f"audio ends at {seconds:.2f} s without an end of stream"
        declared = self._declared
        if declared is not None and self._format == "mp3":
            # FFmpeg leaves the silence that an encoder added out, but does not use the tag where it doubts it.
            declared = min(declared, _mp3_frames(self._data) * (1152 if rate >= 32_000 else 576) / rate)
        elif self._format == "wav" and (share := _share_of_wav(self._data)) is not None:
            declared = seconds / share
        if declared is None or seconds >= declared - _MISSING:
            return None
        return f"audio ends at {seconds:.2f} s of the {declared:.2f} s that its header declares"


def _mp3_frames(data: bytes) -> int:
    """The number of frames in the tag of encoders; 0 where it is missing."""
    start = 0
    if data.startswith(b"ID3"):
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    for tag in _MP3_TAGS:
        place = data.find(tag, start, start + _MP3_TAG_WITHIN)
        if place >= 0 and data[place + 7] & 1:
            return int.from_bytes(data[place + 8 : place + 12])
    return 0


def _share_of_wav(data: bytes) -> float | None:
    """How much of the declared samples is there, up to 1; None where their number is not declared."""
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        if name == b"data":
            return min(1.0, (len(data) - position) / size) if 0 < size < _UNKNOWN_SIZE else None
        position += size + size % 2
    return None
