from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.shards import read_footer, read_row_groups
from tests.data_pipeline.dataset.small import rows_of, write_dataset

COLUMNS = ["id", "input_ids", "token_types", "labels", "audios", "units", "speakers"]


class Requests(LocalFileSystem):
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **settings: object) -> bytes:
        self.ranges.append((start or 0, end or 0))
        return super().cat_file(path, start, end, **settings)


@pytest.fixture
def path(tmp_path: Path) -> str:
    [name] = write_dataset(str(tmp_path), rows_of(12, clip_bytes=50_000))
    return str(tmp_path / f"{name}.parquet")


def test_what_is_read_is_what_arrow_reads(path: str) -> None:
    filesystem = LocalFileSystem()
    footer = read_footer(filesystem, path)
    for groups, columns in (([0], COLUMNS), ([3, 1], ["labels", "length"]), ([0, 1, 2, 3], ["audios"]), ([], COLUMNS)):
        expected = pq.ParquetFile(path).read_row_groups(groups, columns=columns)
        assert read_row_groups(filesystem, path, footer, groups, columns).equals(expected)


def test_a_row_group_is_one_request(path: str) -> None:
    filesystem = Requests()
    footer = read_footer(filesystem, path)
    read_row_groups(filesystem, path, footer, [2], COLUMNS)
    assert len(filesystem.ranges) == 1


def test_columns_around_the_audio_are_read_without_it(path: str) -> None:
    filesystem = Requests()
    footer = read_footer(filesystem, path)
    read_row_groups(filesystem, path, footer, [2], ["input_ids", "length"])
    assert len(filesystem.ranges) == 2
    assert sum(end - start for start, end in filesystem.ranges) < 2000


def test_a_damaged_shard_is_named(path: str) -> None:
    filesystem = LocalFileSystem()
    footer = read_footer(filesystem, path)
    content = bytearray(Path(path).read_bytes())
    content[4:-1] = b"\x99" * len(content[4:-1])
    Path(path).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{path}: expected the Parquet file that its footer describes"):
        read_row_groups(filesystem, path, footer, [0], COLUMNS)
    with pytest.raises(DatasetError, match=f"{path}: expected a Parquet file"):
        read_footer(filesystem, path)
