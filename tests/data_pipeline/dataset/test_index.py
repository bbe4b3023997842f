from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.core import url_to_fs

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.index import INDEX, INDEX_SCHEMA, build_index, read_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.schema import REJECT
from tests.data_pipeline.dataset.small import rows_of, sample_row, write_dataset


def test_every_sample_has_its_place_and_its_numbers(url: str) -> None:
    shards = rows_of(4, 0, 7)
    names = write_dataset(url, shards)
    index = read_index(url)
    rows = [row for shard in shards for row in shard]
    assert index.shards == tuple(names)
    assert index.shard.tolist() == [0] * 4 + [2] * 7
    assert index.group.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 2]
    assert index.row.tolist() == [0, 1, 2, 0, 0, 1, 2, 0, 1, 2, 0]
    assert index.groups.tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 4]
    assert index.lengths.tolist() == [row["length"] for row in rows]
    assert index.speech_lengths.tolist() == [row["speech_length"] for row in rows]
    assert index.text_labels.tolist() == [row["text_labels"] for row in rows]
    assert index.unit_labels.tolist() == [row["unit_labels"] for row in rows]
    assert [index.corpora[i] for i in index.corpus] == [row["corpus"] for row in rows]
    assert [index.languages[i] for i in index.language] == ["en"] * 11


def test_the_bytes_of_a_row_group_are_shared_by_its_rows(tmp_path: Path) -> None:
    [name] = write_dataset(str(tmp_path), rows_of(12, clip_bytes=20_000))
    index, footer = read_index(str(tmp_path)), pq.read_metadata(tmp_path / f"{name}.parquet")
    for group in range(4):
        columns = [footer.row_group(group).column(i) for i in range(footer.num_columns)]
        shares = index.bytes[index.groups == group]
        assert shares.sum() == sum(column.total_compressed_size for column in columns)
        # The first row of each group has no audio.
        assert 0 < shares[0] < 2000
        assert all(shares[1:] > 19_000)


def test_the_same_shards_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dataset(str(tmp_path / name), rows_of(*[5] * 20))
    assert (tmp_path / "a" / INDEX).read_bytes() == (tmp_path / "b" / INDEX).read_bytes()


@pytest.mark.parametrize("sizes", [(), (0,)], ids=["no shard", "an empty shard"])
def test_a_data_set_may_have_no_samples(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    write_dataset(str(tmp_path), rows_of(*sizes))
    index = read_index(str(tmp_path))
    assert (len(index), index.groups.tolist(), len(index.shards)) == (0, [], len(sizes))


def test_labels_are_numbered_alike_in_all_shards(tmp_path: Path) -> None:
    shards = [[sample_row(1, language="zh")], [sample_row(2), sample_row(3, language="zh")]]
    write_dataset(str(tmp_path), shards)
    index = read_index(str(tmp_path))
    assert index.languages == ("zh", "en")
    assert index.language.tolist() == [0, 1, 0]


def test_audio_is_not_read_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = write_dataset(str(tmp_path), rows_of(30, clip_bytes=100_000))
    filesystem, root = url_to_fs(str(tmp_path))
    read: list[int] = []
    cat_ranges = filesystem.cat_ranges

    def counted(paths: list[str], starts: list[int], ends: list[int], **settings: object) -> list[bytes]:
        read.extend(np.subtract(ends, starts).tolist())
        return cat_ranges(paths, starts, ends, **settings)

    monkeypatch.setattr(filesystem, "cat_ranges", counted)
    build_index(filesystem, root, names)
    assert 0 < sum(read) < 0.02 * (tmp_path / f"{names[0]}.parquet").stat().st_size


def test_a_data_set_without_its_manifest_is_unfinished(url: str) -> None:
    write_dataset(url, rows_of(2))
    filesystem, root = url_to_fs(url)
    filesystem.rm_file(f"{root}/{MANIFEST}")
    with pytest.raises(DatasetError, match=rf"is not a finished data set: expected .*/{MANIFEST}"):
        read_index(url)


def test_a_data_set_of_other_rows_is_refused(url: str) -> None:
    write_dataset(url, rows_of(2))
    filesystem, root = url_to_fs(url)
    filesystem.rm_file(f"{root}/{INDEX}")
    with pytest.raises(DatasetError, match=rf"is not a data set of samples: expected .*/{INDEX}"):
        read_index(url)


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    write_dataset(str(tmp_path), rows_of(2))
    (tmp_path / INDEX).write_bytes(b"not Parquet")
    with pytest.raises(DatasetError, match="expected a Parquet file"):
        read_index(str(tmp_path))
    pq.write_table(pa.Table.from_pylist([], schema=REJECT), tmp_path / INDEX)
    with pytest.raises(DatasetError, match=r"has columns \['id', 'step', 'reason'\], expected an index with \['shard'"):
        read_index(str(tmp_path))


def test_an_index_of_other_columns_than_samples_is_not_made(tmp_path: Path) -> None:
    filesystem, root = url_to_fs(str(tmp_path))
    pq.write_table(pa.Table.from_pylist([], schema=REJECT), tmp_path / "x.parquet")
    with pytest.raises(DatasetError, match=r"x.parquet has columns \['id', 'step', 'reason'\], expected those of"):
        build_index(filesystem, root, ["x"])
    with pytest.raises(DatasetError, match=r"y\.parquet: expected a shard"):
        build_index(filesystem, root, ["y"])


def test_written_and_read_back_it_is_the_same(tmp_path: Path) -> None:
    names = write_dataset(str(tmp_path), rows_of(5, 5))
    filesystem, root = url_to_fs(str(tmp_path))
    table = build_index(filesystem, root, names)
    assert table.schema.equals(INDEX_SCHEMA)
    write_index(DatasetFiles(str(tmp_path)), table)
    assert pq.read_table(tmp_path / INDEX).equals(table)


def test_an_index_that_is_being_written_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(str(tmp_path), rows_of(5))
    whole = (tmp_path / INDEX).read_bytes()

    def fail(*paths: object) -> None:
        raise OSError("the process ends here")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="ends here"):
        write_index(DatasetFiles(str(tmp_path)), INDEX_SCHEMA.empty_table())
    assert (tmp_path / INDEX).read_bytes() == whole
