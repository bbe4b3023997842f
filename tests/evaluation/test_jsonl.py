from dataclasses import dataclass
from pathlib import Path

import pytest

from evaluation.jsonl import JsonlWriter, read_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    name: str
    parts: tuple[float, ...] = ()
    value: float | None = None


ROWS = [Clip(name="a\n”", parts=(0.1, 2)), Clip(name="b", value=0.30000000000000004)]


def write(path: Path, *rows: Clip) -> None:
    with JsonlWriter(path) as writer:
        for row in rows:
            writer.append(row)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "new" / "rows.jsonl", *ROWS)
    assert read_rows(tmp_path / "new" / "rows.jsonl", Clip) == ROWS


def test_a_file_that_is_missing_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "rows.jsonl", Clip) == []


def test_a_row_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with JsonlWriter(tmp_path / "rows.jsonl") as writer:
        writer.append(ROWS[0])
        assert read_rows(tmp_path / "rows.jsonl", Clip) == ROWS[:1]


def test_wherever_a_file_is_cut_its_whole_lines_remain_and_rows_can_follow(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, *ROWS)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        whole = ROWS[: data[:length].count(b"\n")]
        assert read_rows(path, Clip) == whole
        write(path, Clip(name="c"))
        assert read_rows(path, Clip) == [*whole, Clip(name="c")]


@pytest.mark.parametrize("line", [b'{"name": 3}', b"{", b"", b'{"value": 3}', b'"\xff"'])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"name": "a"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 2: .*expected a Clip, got "):
        read_rows(tmp_path / "rows.jsonl", Clip)
