"""The pages of Ogg files. FFmpeg skips damaged ones without an error."""

import zlib

PAGE = b"OggS"
_HEADER = 27
_FLAGS, _LAST_PAGE = 5, 4
_CHECKSUM = slice(22, 26)
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def intact_pages(data: bytes) -> tuple[bytes, bool]:
    """``data`` up to its first page that is not intact, and whether that page is damaged: a file that only was cut
    ends with the first part of a page."""
    end = 0
    while data.startswith(PAGE, end):
        size = _page_size(data, end)
        page = data[end : end + size]
        if _checksum(page) != page[_CHECKSUM]:
            return data[:end], len(page) == size or data.find(PAGE, end + 1) >= 0
        end += size
    return data[:end], data.find(PAGE, end) >= 0


def ends_stream(pages: bytes) -> bool:
    """Whether the last of intact pages is marked as the last one of its stream."""
    start = end = 0
    while pages.startswith(PAGE, end):
        start, end = end, end + _page_size(pages, end)
    return bool(int.from_bytes(pages[start + _FLAGS : start + _FLAGS + 1]) & _LAST_PAGE)


def _page_size(data: bytes, start: int) -> int:
    table = start + _HEADER
    count = int.from_bytes(data[table - 1 : table])
    return _HEADER + count + sum(data[table : table + count])


def _checksum(page: bytes) -> bytes:
    """Ogg's CRC-32 is zlib's with the bits of each byte and of the result reversed, and without its inversions."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    inverted = zlib.crc32(blank.translate(_REVERSED_BITS), 0xFFFFFFFF)
    return (inverted ^ 0xFFFFFFFF).to_bytes(4, "big").translate(_REVERSED_BITS)
