import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.suites.records import DataError, Record, read_records

ROWS = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]


def values(data: Path, rows: str = "") -> list[dict[str, object]]:
    return [dict(record.values) for record in read_records(str(data), ("**/*",), rows)]


def test_the_same_rows_are_read_from_all_formats(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    for name, content in {
        "a.jsonl": lines,
        "b.json": json.dumps(ROWS, indent=1),
        "c.csv": 'id,text\na,one\nb,"two"\n',
        "d.tsv": "id\ttext\na\tone\nb\ttwo\n",
    }.items():
        (tmp_path / name).write_text(content)
        assert values(tmp_path / name) == ROWS, name
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    assert values(tmp_path / "e.parquet") == ROWS
    (tmp_path / "f.json").write_text(json.dumps({"data": {"rows": ROWS}}))
    assert values(tmp_path / "f.json", "data.rows") == ROWS


def test_files_of_a_directory_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    for name in ("en/b.jsonl", "en/a.jsonl", "z.jsonl"):
        (tmp_path / name).write_text(json.dumps({"name": name}) + "\n")
    found = [(record.file, record.number) for record in read_records(str(tmp_path), ("**/*.jsonl", "z.jsonl"))]
    assert found == [("en/a.jsonl", 1), ("en/b.jsonl", 1), ("z.jsonl", 1)]


def record(tmp_path: Path, row: dict[str, object], name: str = "en/a.jsonl") -> Record:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(json.dumps(row) + "\n")
    return next(read_records(str(tmp_path), (name,)))


def test_nested_fields_are_paths_of_keys_and_indices(tmp_path: Path) -> None:
    found = record(tmp_path, {"a": {"b": [{"c": " text "}, 7]}, "x.y": "dotted"})
    assert [found.text(path) for path in ("a.b.0.c", "a.b.1", "x.y", "a.b.5.c", "none.at.all")] == [
        "text",
        "7",
        "dotted",
        "",
        "",
    ]


def test_elements_have_the_fields_of_the_row_that_they_lack(tmp_path: Path) -> None:
    found = record(tmp_path, {"emotion": "sad", "turns": [{"text": "a"}, {"text": "b", "emotion": "happy"}]})
    assert [(turn.text("text"), turn.text("emotion")) for turn in found.elements("turns")] == [
        ("a", "sad"),
        ("b", "happy"),
    ]


def test_clips_are_bytes_or_paths_below_the_file_or_the_root(tmp_path: Path) -> None:
    found = record(tmp_path, {})
    (tmp_path / "en" / "near.wav").write_bytes(b"near")
    (tmp_path / "far.wav").write_bytes(b"far")
    assert found.clip("audio", "near.wav") == b"near"
    assert found.clip("audio", "far.wav") == b"far"
    assert found.clip("audio", str(tmp_path / "far.wav")) == b"far"
    assert found.clip("audio", {"bytes": b"cell", "path": "far.wav"}) == b"cell"
    assert found.clip("audio", {"bytes": None, "path": "far.wav"}) == b"far"


@pytest.mark.parametrize("value", ["missing.wav", "../outside.wav", "", None, 3])
def test_a_clip_that_is_not_there_is_an_error_with_file_row_and_field(tmp_path: Path, value: object) -> None:
    with pytest.raises(DataError, match=r"en/a\.jsonl, row 1, field audio: expected a"):
        record(tmp_path, {}).clip("audio", value)


def test_errors_name_file_row_and_field(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"en/a\.jsonl, row 1, field a\.b: expected text, got none"):
        record(tmp_path, {"a": {}}).required("a.b")
    with pytest.raises(DataError, match=r"row 1, field a: expected text, got \[1\]"):
        record(tmp_path, {"a": [1]}).text("a")
    with pytest.raises(DataError, match="field turns: expected a list of mappings, got 'none'"):
        record(tmp_path, {"turns": "none"}).elements("turns")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{}\nno\n", r"a\.jsonl, row 2: bad row: expected a JSON object"),
        ("a.json", "[{}, {", r"expected a JSON array"),
        ("a.csv", "a,b\n1,2,3\n", r"a\.csv, row 1: expected as many cells"),
        ("a.parquet", "no", r"expected a Parquet file"),
        ("a.txt", "no", r"expected a file \.json"),
    ],
)
def test_damaged_files_are_errors(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        values(tmp_path / name)


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a file or a directory, found neither"):
        values(tmp_path / "none")
    with pytest.raises(DataError, match=r"expected files \*\.jsonl, found none"):
        list(read_records(str(tmp_path), ("*.jsonl",)))
