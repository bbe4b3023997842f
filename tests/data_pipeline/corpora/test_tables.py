import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.tables import json_rows, parquet_rows
from data_pipeline.records import RejectedRow
from tests.data_pipeline.corpora.reading import write

ROWS = [{"id": "你好", "x": [1, 2.5]}, {"id": "b"}]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_lines_and_arrays_give_the_same_objects(tmp_path: Path, mark: str) -> None:
    write(tmp_path / "a.jsonl", mark + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    write(tmp_path / "a.json", f"{mark} \n" + json.dumps(ROWS, indent=4))
    files = CorpusFiles(str(tmp_path))
    assert list(json_rows(files, "a.jsonl")) == list(json_rows(files, "a.json")) == list(enumerate(ROWS, 1))


def test_a_bad_line_is_rejected_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b'{"id": 1}\n\n{"id": \n["x"]\n{"id": "\xff"}\n{"id": 2}')
    found = dict(json_rows(CorpusFiles(str(tmp_path)), "a.jsonl"))
    assert (found[1], found[6]) == ({"id": 1}, {"id": 2})
    assert list(found) == [1, 3, 4, 5, 6]
    bad = [found[number] for number in (3, 4, 5)]
    assert all(isinstance(row, RejectedRow) for row in bad)
    assert [str(row).partition(": ")[0] for row in bad] == ["bad row", "bad row", "bad encoding"]


def test_an_array_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.json", '[{"id": 1}, {"id": ')
    records = json_rows(CorpusFiles(str(tmp_path)), "a.json")
    with pytest.raises(CorpusError, match=r"a\.json: expected a JSON array"):
        list(records)


def test_a_bracket_at_the_start_of_json_lines_is_a_bad_row(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '["x"]\n{"id": 2}\n')
    first, second = json_rows(CorpusFiles(str(tmp_path)), "a.jsonl")
    assert isinstance(first[1], RejectedRow)
    assert second == (2, {"id": 2})


def test_rows_keep_their_order_over_row_groups(tmp_path: Path) -> None:
    table = pa.table({"id": [str(number) for number in range(10)], "audio": [b"clip"] * 10})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    rows = list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id"], audio_columns=["audio"]))
    assert rows == [{"id": str(number)} for number in range(10)]


def test_missing_columns_are_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"columns \['text', 'audio'\] are missing; found \['id'\]"):
        list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id", "text"], audio_columns=["audio"]))


def test_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", b"no table")
    with pytest.raises(CorpusError, match="expected a Parquet file"):
        list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id"]))


def test_bytes_of_parquet_that_are_not_utf8_stay_in_their_row(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(pa.string(), 3, pa.array([b"good", b"\xff", None], pa.binary()).buffers())
    pq.write_table(pa.table({"text": texts, "number": [1, 2, 3]}), tmp_path / "a.parquet")
    assert list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ("text", "number"))) == [
        {"text": "good", "number": 1},
        {"text": "\udcff", "number": 2},
        {"text": None, "number": 3},
    ]
