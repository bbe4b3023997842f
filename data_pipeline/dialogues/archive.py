"""Clips in one archive, from which each is read by its place alone."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

_HEADER = 30
"""Bytes of a member's header, without its name."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of all members: equal clips give equal archives."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes of a stored member."""

    offset: int
    size: int


def store(clips: Mapping[str, bytes]) -> tuple[bytes, dict[str, Extent]]:
    """A zip archive of ``clips`` by name (ASCII), uncompressed, and where each lies in it."""
    buffer, extents = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in clips.items():
            info = zipfile.ZipInfo(name, _TIME)
            archive.writestr(info, data)
            extents[name] = Extent(info.header_offset + _HEADER + len(name) + len(info.extra), len(data))
    return buffer.getvalue(), extents
