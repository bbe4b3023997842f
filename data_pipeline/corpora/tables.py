"""The rows of a corpus's tables, one after the other: lines of text, JSON, Parquet.

A bad row is a :class:`RejectedRow` in place of the row, so that it does not lose the others.
"""

import codecs
import json
from collections.abc import Iterator, Sequence
from typing import Any

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.corpora.files import CorpusError, CorpusFiles, is_damage
from data_pipeline.records import RejectedRow

_START = 4096  # bytes in which an array begins


def text_lines(files: CorpusFiles, path: str) -> Iterator[tuple[int, str | RejectedRow]]:
    """The lines of a UTF-8 file that are not blank, numbered from 1, without "\\n" or "\\r\\n" and a byte order mark.

    Raises ``FileNotFoundError``.
    """
    with files.open(path) as file:
        for number, data in enumerate(file, start=1):
            line = data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
            if not line.strip():
                continue
            try:
                yield number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, RejectedRow(f"bad encoding: {line!r:.100} is not UTF-8 ({error.reason})")


def json_rows(files: CorpusFiles, path: str) -> Iterator[tuple[int, dict[str, Any] | RejectedRow]]:
    """The objects of a JSON Lines file, numbered by line, or of one JSON array, numbered by position, both from 1.

    Neither is held in memory. Raises ``FileNotFoundError``, and :class:`CorpusError` for an array that breaks off.
    """
    if not _is_array(files, path):
        for number, line in text_lines(files, path):
            yield number, line if isinstance(line, RejectedRow) else _parsed(line)
        return
    with files.open(path) as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        try:
            for number, item in enumerate(ijson.items(file, "item", use_float=True), 1):
                yield number, item if isinstance(item, dict) else _not_an_object(item)
        except ijson.JSONError as error:
            raise CorpusError(f"{files.root}/{path}: expected a JSON array: {error}") from error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises :class:`RejectedRow`."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RejectedRow(f"bad row: expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise _not_an_object(value)
    return value


def parquet_rows(
    files: CorpusFiles, path: str, columns: Sequence[str], audio_columns: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """The rows of a file, in order, with ``columns`` only. ``audio_columns`` must be there too but are not read.

    Raises :class:`CorpusError` where a column is missing or the file is no Parquet file.
    """
    try:
        with files.open(path) as file, pq.ParquetFile(file) as table:
            found = table.schema_arrow.names
            if missing := [name for name in (*columns, *audio_columns) if name not in found]:
                raise CorpusError(f"{files.root}/{path}: columns {missing} are missing; found {found}")
            for batch in table.iter_batches(columns=list(columns)):
                yield from _rows_of(batch)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and not is_damage(error):
            raise
        raise CorpusError(f"{files.root}/{path}: expected a Parquet file: {error}") from error


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Bytes of a text that are not UTF-8 become lone surrogates, for which its row is rejected."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        columns = {name: _values(batch[name]) for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pa.Array) -> list[Any]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.to_pylist()
    found = column.cast(pa.large_binary()).to_pylist()
    return [None if value is None else value.decode("utf-8", "surrogateescape") for value in found]


def _is_array(files: CorpusFiles, path: str) -> bool:
    """In ``*.jsonl``, a line that begins with a bracket is a bad row."""
    if path.endswith(".jsonl"):
        return False
    with files.open(path) as file:
        return file.read(_START).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _parsed(line: str) -> dict[str, Any] | RejectedRow:
    try:
        return parse_object(line)
    except RejectedRow as error:
        return error


def _not_an_object(value: Any) -> RejectedRow:
    return RejectedRow(f"bad row: expected a JSON object, got {value!r:.100}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
