import json
from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.json_records import json_records
from data_pipeline.records import RejectedRow
from tests.data_pipeline.corpora.reading import write

ROWS = [{"id": "你好", "x": [1, 2.5]}, {"id": "b"}]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_lines_and_arrays_give_the_same_objects(tmp_path: Path, mark: str) -> None:
    write(tmp_path / "a.jsonl", mark + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    write(tmp_path / "a.json", f"{mark} \n" + json.dumps(ROWS, indent=4))
    files = CorpusFiles(str(tmp_path))
    assert list(json_records(files, "a.jsonl")) == list(json_records(files, "a.json")) == list(enumerate(ROWS, 1))


def test_a_bad_line_is_rejected_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b'{"id": 1}\n\n{"id": \n["x"]\n{"id": "\xff"}\n{"id": 2}')
    found = dict(json_records(CorpusFiles(str(tmp_path)), "a.jsonl"))
    assert (found[1], found[6]) == ({"id": 1}, {"id": 2})
    assert list(found) == [1, 3, 4, 5, 6]
    bad = [found[number] for number in (3, 4, 5)]
    assert all(isinstance(row, RejectedRow) and str(row).startswith("corrupt row: expected a JSON") for row in bad)


def test_an_array_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.json", '[{"id": 1}, {"id": ')
    records = json_records(CorpusFiles(str(tmp_path)), "a.json")
    with pytest.raises(CorpusError, match=r"a\.json: expected a JSON array"):
        list(records)
