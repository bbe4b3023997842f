"""Tables of one row a line, read line by line so that a bad one does not lose the others."""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.records import RejectedRow


def text_lines(files: CorpusFiles, name: str) -> Iterator[tuple[int, str | RejectedRow]]:
    """The lines of a UTF-8 file that are not blank, numbered from 1, without "\\n" or "\\r\\n" and a byte order mark.

    Raises ``FileNotFoundError``.
    """
    with files.open(name) as file:
        for number, data in enumerate(file, start=1):
            line = data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
            if not line.strip():
                continue
            try:
                yield number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, RejectedRow(f"bad encoding: {line!r:.100} is not UTF-8 ({error.reason})")


def json_lines(files: CorpusFiles, name: str) -> Iterator[tuple[int, dict[str, Any] | RejectedRow]]:
    """The objects of a JSON Lines file, numbered by line from 1. Raises ``FileNotFoundError``."""
    for number, line in text_lines(files, name):
        try:
            yield number, line if isinstance(line, RejectedRow) else parse_object(line)
        except RejectedRow as error:
            yield number, error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises :class:`RejectedRow`."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RejectedRow(f"broken JSON: {error}") from None
    if not isinstance(value, dict):
        raise RejectedRow(f"broken JSON: {value!r:.100}, expected an object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
