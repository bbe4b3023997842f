"""Rows of tables in JSON, JSON Lines, CSV, TSV and Parquet, with nested fields and clips."""

import csv
import io
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import RejectedRow


class DataError(ValueError):
    """Data of a suite that cannot be read; the message names the file, the row, the field and what was expected."""


@dataclass(frozen=True, slots=True)
class Record:
    """``values`` of row ``number``, counted from 1, of ``file`` below the root of ``files``. A JSON Lines file is
    counted by lines."""

    files: CorpusFiles
    file: str
    number: int
    values: Mapping[str, Any]

    def error(self, field: str, message: str) -> DataError:
        return DataError(f"{self.files.root}/{self.file}, row {self.number}, field {field}: {message}")

    def find(self, path: str) -> Any:
        """The value at a path of keys and indices, such as ``turns.0.text``; None where there is none."""
        return find(self.values, path)

    def text(self, path: str) -> str:
        """A text or a number as text; empty where there is none. Raises :class:`DataError` for anything else."""
        value = self.find(path)
        if value is None:
            return ""
        if isinstance(value, (bool, Mapping, list, bytes)):
            raise self.error(path, f"expected text, got {value!r:.100}")
        return str(value).strip()

    def required(self, path: str) -> str:
        if not (text := self.text(path)):
            raise self.error(path, "expected text, got none")
        return text

    def elements(self, path: str) -> list["Record"]:
        """The mappings of a list, as records of the same row. A field that an element lacks is one of the row."""
        values = self.find(path)
        if not isinstance(values, list) or not values or not all(isinstance(value, Mapping) for value in values):
            raise self.error(path, f"expected a list of mappings, got {values!r:.100}")
        return [replace(self, values={**self.values, **value}) for value in values]

    def clip(self, field: str, value: Any) -> bytes:
        """The bytes of ``value``: bytes, a mapping with ``bytes`` or ``path``, or a path relative to the directory of
        the file or to one above it, up to the root."""
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes) and value:
            return value
        if not isinstance(value, str) or not value:
            raise self.error(field, f"expected a clip or its path, got {value!r:.100}")
        path, directory = self.files.relative(value), posixpath.dirname(self.file)
        try:
            while not self.files.exists(found := posixpath.join(directory, path)):
                if not directory:
                    raise self.error(field, f"expected an audio file, found none at {value}")
                directory = posixpath.dirname(directory)
            return self.files.read(found)
        except (CorpusError, OSError) as error:
            raise self.error(field, f"expected an audio file below {self.files.root}: {error}") from error


def find(values: Any, path: str) -> Any:
    """The value at a path of keys and indices, None where there is none. A key may contain dots."""
    if isinstance(values, Mapping) and path in values:
        return values[path]
    key, _, rest = path.partition(".")
    if isinstance(values, list) and key.isdecimal() and int(key) < len(values):
        value = values[int(key)]
    elif isinstance(values, Mapping):
        value = values.get(key)
    else:
        return None
    return find(value, rest) if rest else value


def read_records(data: str, patterns: Sequence[str], rows: str = "") -> Iterator[Record]:
    """The rows of the file ``data``, or of the files of the directory ``data`` that match ``patterns``, by name.
    ``rows`` is the path of the list of rows in JSON files that are one object.

    Raises :class:`DataError`.
    """
    filesystem, path = url_to_fs(data)
    if filesystem.isfile(path):
        root, _, name = data.rpartition("/")
        files, names = CorpusFiles(root or "."), [name]
    elif filesystem.isdir(path):
        files = CorpusFiles(data)
        names = sorted({name for pattern in patterns for name in files.glob(pattern)})
    else:
        raise DataError(f"{data}: expected a file or a directory, found neither")
    if not names:
        raise DataError(f"{data}: expected files {', '.join(patterns)}, found none")
    for name in names:
        for number, values in _rows(files, name, rows):
            yield Record(files, name, number, values)


def _rows(files: CorpusFiles, name: str, rows: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    suffix = name.rpartition(".")[2].lower()
    if suffix == "parquet":
        yield from enumerate(_parquet(files, name), 1)
    elif suffix in ("csv", "tsv"):
        yield from enumerate(_csv(files, name, "\t" if suffix == "tsv" else ","), 1)
    elif suffix in ("json", "jsonl") and not rows:
        try:
            for number, row in json_rows(files, name):
                if isinstance(row, RejectedRow):
                    raise DataError(f"{files.root}/{name}, row {number}: {row}")
                yield number, row
        except CorpusError as error:
            raise DataError(str(error)) from error
    elif suffix == "json":
        yield from enumerate(_listed(files, name, rows), 1)
    else:
        raise DataError(f"{files.root}/{name}: expected a file .json, .jsonl, .csv, .tsv or .parquet")


def _listed(files: CorpusFiles, name: str, rows: str) -> list[Mapping[str, Any]]:
    try:
        found = find(json.loads(files.read(name)), rows)
    except ValueError as error:
        raise DataError(f"{files.root}/{name}: expected a JSON object: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise DataError(f"{files.root}/{name}: expected a list of objects in {rows}, got {found!r:.100}")
    return found


def _csv(files: CorpusFiles, name: str, delimiter: str) -> Iterator[Mapping[str, Any]]:
    with files.open(name) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            for number, row in enumerate(csv.DictReader(text, delimiter=delimiter, strict=True), 1):
                if None in row:
                    raise DataError(f"{files.root}/{name}, row {number}: expected as many cells as in the header")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{files.root}/{name}: expected CSV in UTF-8: {error}") from error


def _parquet(files: CorpusFiles, name: str) -> Iterator[Mapping[str, Any]]:
    try:
        with files.open(name) as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"{files.root}/{name}: expected a Parquet file: {error}") from error
