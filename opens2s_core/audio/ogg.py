"""The pages of Ogg files. FFmpeg skips damaged ones without an error."""

import zlib

PAGE = b"OggS"
_HEADER = 27
_CHECKSUM = slice(22, 26)
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def intact_pages(data: bytes) -> tuple[bytes, bool]:
    """``data`` up to its first page that is not intact, and whether that page is damaged: a file that only was cut
    ends with the first part of a page."""
    end = 0
    while data.startswith(PAGE, end):
        table = end + _HEADER
        count = int.from_bytes(data[table - 1 : table])
        sizes = data[table : table + count]
        size = _HEADER + count + sum(sizes)
        page = data[end : end + size]
        if _checksum(page) != page[_CHECKSUM]:
            return data[:end], len(page) == size or data.find(PAGE, end + 1) >= 0
        end += size
    return data[:end], data.find(PAGE, end) >= 0


def _checksum(page: bytes) -> bytes:
    """Ogg's CRC-32 is zlib's with the bits of each byte and of the result reversed, and without its inversions."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    inverted = zlib.crc32(blank.translate(_REVERSED_BITS), 0xFFFFFFFF)
    return (inverted ^ 0xFFFFFFFF).to_bytes(4, "big").translate(_REVERSED_BITS)
