"""VoiceBench's files: ``<subset>/test-*.parquet``, and the answers that its own scripts score."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.items import Answer, Item, Turn
from evaluation.suites.data_files import find_files

ROWS = {"alpacaeval": 199, "alpacaeval_full": 636, "commoneval": 200, "wildvoice": 1000, "ifeval": 345}
"""Rows of each subset, as published."""


def read_rows(data: str, subset: str, columns: tuple[str, ...]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Number, place for errors, and columns of each row. ``data`` is the root, the directory of the subset, or a file.

    Raises ``ValueError``."""
    files = find_files(data, (f"{subset}/test-*.parquet", "test-*.parquet"))
    number = 0
    for path in files.paths:
        try:
            with files.filesystem.open(path, "rb") as file:
                table = pq.read_table(file)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: expected a Parquet file: {error}") from error
        if missing := [name for name in columns if name not in table.column_names]:
            raise ValueError(f"{path}: columns {missing} are missing, found {table.column_names}")
        for row_number, row in enumerate(table.select(list(columns)).to_pylist()):
            yield number, f"{path}, row {row_number}", row
            number += 1
    if number == 0:
        raise ValueError(f"{data}: expected rows of {subset}, found none")


def turn_of(row: Mapping[str, Any], where: str) -> Turn:
    """Raises ``ValueError`` that begins with ``where``."""
    audio, prompt = row["audio"], row["prompt"]
    if not isinstance(prompt, str):
        raise ValueError(f"{where}: expected a prompt, got {prompt!r:.100}")
    data = audio.get("bytes") if isinstance(audio, dict) else None
    if not isinstance(data, bytes) or not data:
        raise ValueError(f"{where}: expected audio with bytes, got {audio!r:.100}")
    return Turn(text=prompt, audio=data)


def describe_files(data: str, subset: str) -> dict[str, Any]:
    """Checksum and numbers of rows."""
    files = find_files(data, (f"{subset}/test-*.parquet", "test-*.parquet"))
    rows = 0
    for path in files.paths:
        with files.filesystem.open(path, "rb") as file:
            rows += pq.read_metadata(file).num_rows
    return {"sha256": files.sha256(), "rows": rows, "published_rows": ROWS[subset]}


def write_answers(subset: str, items: Sequence[Item], answers: Sequence[Answer], directory: Path, model: str) -> Path:
    """``{model}-{subset}-test-audio.jsonl`` with prompt, labels and response of every answer without error."""
    answered = {answer.item: answer for answer in answers if not answer.error}
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{model.replace('/', '_')}-{subset}-test-audio.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            if (answer := answered.get(item.id)) is not None:
                row = {"prompt": item.turns[0].text, **item.labels, "response": answer.replies[0].text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path
