"""Objects of a JSON Lines file or of one JSON array, one after the other."""

import json
from collections.abc import Iterator
from typing import Any

import ijson

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.records import RejectedRow


def json_records(files: CorpusFiles, path: str) -> Iterator[tuple[int, dict[str, Any] | RejectedRow]]:
    """Number (from 1: the line, or the place in the array) and object. Neither kind of file is held in memory.

    A line that is no JSON object is a :class:`RejectedRow`. Raises :class:`CorpusError` for an array that breaks off.
    """
    with files.open(path) as file:
        is_array = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
        file.seek(0)
        if is_array:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            try:
                for number, item in enumerate(ijson.items(file, "item", use_float=True), 1):
                    yield number, _record(item)
            except ijson.JSONError as error:
                raise CorpusError(f"{files.root}/{path}: expected a JSON array: {error}") from error
        else:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _line(line)


def _line(line: bytes) -> dict[str, Any] | RejectedRow:
    try:
        return _record(json.loads(line.decode("utf-8-sig")))
    except ValueError as error:  # not UTF-8, or not JSON
        return RejectedRow(f"corrupt row: expected a JSON object: {error}")


def _record(item: Any) -> dict[str, Any] | RejectedRow:
    if isinstance(item, dict):
        return item
    return RejectedRow(f"corrupt row: expected a JSON object, got {str(item)[:80]!r}")
