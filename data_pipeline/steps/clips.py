"""The clip that an :class:`AudioReference` names → samples."""

import lzma
import struct
import zipfile
import zlib
from contextlib import ExitStack
from functools import lru_cache
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.corpora.files import CorpusFiles, is_damage, raise_rejected
from data_pipeline.records import AudioReference, RejectedRow
from opens2s_core.audio import (
    MAX_CHANNELS,
    MAX_RATE,
    AudioCut,
    AudioError,
    AudioTooLong,
    Waveform,
    decode_segment,
    decode_whole_audio,
)

_BYTES_PER_SECOND = MAX_RATE * MAX_CHANNELS * 4
_OTHER_BYTES = 64 * 2**20
"""Besides audio: pictures of a video, or a cover."""
_OPEN_FILES = 4
"""Archives and tables that a process keeps open: one with a million members takes seconds to open."""

_BAD_MEMBER = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    RuntimeError,  # encrypted
    NotImplementedError,  # compressed by a method that Python lacks
    ValueError,  # an offset outside the file, or a name that cannot be decoded
    OverflowError,
)


def read_clip(files: CorpusFiles, reference: AudioReference, *, max_seconds: float) -> tuple[Waveform, int]:
    """Mono float32 samples (n,) in [-1, 1] and their rate in Hz, at most ``max_seconds`` long.

    A segment of a file is read without the rest of the file, a cell of a table with its row group. A clip with damage
    in it is rejected, and one that was cut at its end, as its text is that of the whole clip, see
    :func:`~opens2s_core.audio.decoding.decode_whole_audio`.

    Raises :class:`RejectedRow`: ``missing file``, ``unreadable file``, ``path outside the corpus``, ``bad archive``,
    ``bad table``, ``bad audio``, ``cut short`` or ``too long``. Raises ``OSError`` where another attempt may succeed.
    """
    try:
        files.path(reference.path)
    except ValueError as error:
        raise RejectedRow(f"path outside the corpus: {error}") from error
    try:
        if reference.member is None and reference.row is None and reference.offset is None and _is_segment(reference):
            with files.open(reference.path) as file:
                return _decode_segment(file, reference, max_seconds)
        data = _read_bytes(files, reference, max_seconds)
        if _is_segment(reference):
            return _decode_segment(data, reference, max_seconds)
        return decode_whole_audio(data, max_seconds=max_seconds)
    except AudioTooLong as error:
        raise RejectedRow(f"too long: {_name(reference)}: {error}") from error
    except AudioCut as error:
        raise RejectedRow(f"cut short: {_name(reference)}: {error}") from error
    except AudioError as error:
        raise RejectedRow(f"bad audio: {_name(reference)}: {error}") from error
    except OSError as error:
        raise_rejected(error, reference.path)


def _decode_segment(file: BinaryIO | bytes, reference: AudioReference, max_seconds: float) -> tuple[Waveform, int]:
    return decode_segment(
        file, reference.start, reference.length, in_samples=reference.in_samples, max_seconds=max_seconds
    )


def _is_segment(reference: AudioReference) -> bool:
    return reference.start != 0 or reference.length is not None


def _name(reference: AudioReference) -> str:
    if reference.member is not None:
        return f"{reference.path}:{reference.member}"
    if reference.row is not None:
        return f"{reference.path}, row {reference.row}"
    return reference.path


def _read_bytes(files: CorpusFiles, reference: AudioReference, max_seconds: float) -> bytes:
    """The whole encoded clip. A segment may be anywhere in it, so only clips without one are limited in size."""
    path = reference.path
    limit = None if _is_segment(reference) else int(max_seconds * _BYTES_PER_SECOND) + _OTHER_BYTES
    if reference.member is not None:
        data = _read_member(files, path, reference.member, limit)
    elif reference.row is not None:
        data = _read_cell(files, path, reference.row, reference.column)
    else:
        data = _read_range(files, path, reference, limit)
    if limit is not None and len(data) > limit:
        raise RejectedRow(f"too long: {_name(reference)}: more than {limit} bytes for at most {max_seconds:g} s")
    return data


def _read_range(files: CorpusFiles, path: str, reference: AudioReference, limit: int | None) -> bytes:
    size = reference.size
    if (reference.offset or 0) < 0 or (size is not None and size < 0):
        raise RejectedRow(f"bad audio: {path}: offset {reference.offset} and size {size}, expected at least 0")
    wanted = [number for number in (size, None if limit is None else limit + 1) if number is not None]
    data = files.read(path, reference.offset or 0, min(wanted, default=None))
    if size is not None and len(data) < min(wanted):
        raise RejectedRow(
            f"bad audio: {path}: {len(data)} bytes at offset {reference.offset}, expected {size}: the file is cut"
        )
    return data


def _read_member(files: CorpusFiles, path: str, member: str, limit: int | None) -> bytes:
    try:
        archive, _ = _open_archive(files, path)
        with archive.open(member) as file:
            return file.read() if limit is None else file.read(limit + 1)
    except KeyError as error:
        raise RejectedRow(f"missing file: {path} has no member {member!r}") from error
    except _BAD_MEMBER as error:
        raise RejectedRow(f"bad archive: {path}:{member}: {error}") from error
    except OSError as error:
        if is_damage(error):
            raise RejectedRow(f"bad archive: {path}:{member}: {error}") from error
        raise


def _read_cell(files: CorpusFiles, path: str, row: int, column: str | None) -> bytes:
    try:
        table, firsts, _ = _open_table(files, path)
        names = table.schema_arrow.names
        if column is None or column not in names:
            raise RejectedRow(f"bad table: {path} has no column {column!r}: expected one of {', '.join(names)}")
        if not 0 <= row < firsts[-1]:
            raise RejectedRow(f"missing file: row {row} of {path}, which has {firsts[-1]} rows")
        group = next(number for number, end in enumerate(firsts[1:]) if row < end)
        cell = _read_group(files, path, group, column)[row - firsts[group]].as_py()
    except pa.ArrowException as error:
        raise RejectedRow(f"bad table: {path}: {error}") from error
    except OSError as error:
        if is_damage(error):
            raise RejectedRow(f"bad table: {path}: {error}") from error
        raise
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is None:
        raise RejectedRow(f"missing file: row {row} of {path} has no bytes in {column!r}")
    if not isinstance(data, bytes):
        raise RejectedRow(
            f"bad table: {path}: {column!r} holds {type(data).__name__}, expected bytes or a struct of them"
        )
    return data


@lru_cache(maxsize=_OPEN_FILES)
def _open_archive(files: CorpusFiles, path: str) -> tuple[zipfile.ZipFile, ExitStack]:
    stack = ExitStack()  # keeps the file of the archive open
    return zipfile.ZipFile(stack.enter_context(files.open(path))), stack


@lru_cache(maxsize=_OPEN_FILES)
def _open_table(files: CorpusFiles, path: str) -> tuple[pq.ParquetFile, list[int], ExitStack]:
    """The table and the first row of each row group, then the number of rows."""
    stack = ExitStack()
    table = pq.ParquetFile(stack.enter_context(files.open(path)))
    firsts = [0]
    for group in range(table.num_row_groups):
        firsts.append(firsts[-1] + table.metadata.row_group(group).num_rows)
    return table, firsts, stack


@lru_cache(maxsize=1)
def _read_group(files: CorpusFiles, path: str, group: int, column: str) -> pa.ChunkedArray:
    """Rows are read in order, so the next one is mostly in the same group."""
    table, _, _ = _open_table(files, path)
    return table.read_row_group(group, columns=[column]).column(0)
