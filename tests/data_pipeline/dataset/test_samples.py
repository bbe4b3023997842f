import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset import samples as module
from data_pipeline.dataset.samples import ShardedSamples
from opens2s_core.training.batch import EncodedSample
from opens2s_core.training.loader import GroupedSamples
from tests.data_pipeline.dataset.small import GROUP_ROWS, rows_of, write_dataset

FIELDS = [field.name for field in fields(EncodedSample)]


class Reads:
    """The row groups that are read, by shard and row group, and the footers."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.groups: Counter[tuple[str, int]] = Counter()
        self.footers: Counter[str] = Counter()
        read_footer, read_row_groups = module.read_footer, module.read_row_groups

        def counted_footer(filesystem, path):  # type: ignore[no-untyped-def]
            self.footers[Path(path).stem] += 1
            return read_footer(filesystem, path)

        def counted_groups(filesystem, path, footer, groups, columns):  # type: ignore[no-untyped-def]
            self.groups.update((Path(path).stem, group) for group in groups)
            return read_row_groups(filesystem, path, footer, groups, columns)

        patched.setattr(module, "read_footer", counted_footer)
        patched.setattr(module, "read_row_groups", counted_groups)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def test_every_sample_is_found_by_its_index(url: str) -> None:
    shards = rows_of(4, 0, 7)
    write_dataset(url, shards)
    samples = ShardedSamples(url)
    rows = [row for shard in shards for row in shard]
    order = random.Random(0).sample(range(len(rows)), len(rows))
    assert len(samples) == len(rows)
    for index in order:
        assert samples[index] == EncodedSample(**{name: rows[index][name] for name in FIELDS})
    assert samples.lengths.tolist() == [row["length"] for row in rows]
    assert samples.speech_lengths.tolist() == [row["speech_length"] for row in rows]
    assert samples.text_labels.tolist() == [row["text_labels"] for row in rows]
    assert samples.unit_labels.tolist() == [row["unit_labels"] for row in rows]


def test_they_are_trained_on_by_row_groups(tmp_path: Path) -> None:
    write_dataset(str(tmp_path), rows_of(4, 7))
    samples = ShardedSamples(str(tmp_path))
    assert isinstance(samples, GroupedSamples)
    assert samples.groups.tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 4]
    assert samples.epoch_groups(3, 0).tolist() == [0, 1, 2, 3, 4]


def test_opening_reads_the_index_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(str(tmp_path), rows_of(4, 7))
    opened: list[str] = []
    open_file = LocalFileSystem._open
    monkeypatch.setattr(
        LocalFileSystem, "_open", lambda self, path, *a, **k: opened.append(path) or open_file(self, path, *a, **k)
    )
    ShardedSamples(str(tmp_path))
    assert opened == [str(tmp_path / "_index.parquet")]


def test_a_row_group_is_read_once_while_it_is_cached_and_a_footer_once(tmp_path: Path, reads: Reads) -> None:
    names = write_dataset(str(tmp_path), rows_of(6, 6))
    samples = ShardedSamples(str(tmp_path))
    for index in [*range(12), *reversed(range(12))]:
        samples[index]
    assert reads.groups == {(name, group): 1 for name in names for group in range(2)}
    assert reads.footers == dict.fromkeys(names, 1)


def test_the_row_group_used_longest_ago_is_dropped_first(tmp_path: Path, reads: Reads) -> None:
    [name] = write_dataset(str(tmp_path), rows_of(9, clip_bytes=10_000))
    samples = ShardedSamples(str(tmp_path), cached_bytes=50_000)  # two groups of two clips
    for group in (0, 1, 0, 2, 0, 1):
        samples[group * GROUP_ROWS]
    assert reads.groups == {(name, 0): 1, (name, 1): 2, (name, 2): 1}


def test_a_row_group_larger_than_the_cache_is_kept_alone(tmp_path: Path, reads: Reads) -> None:
    [name] = write_dataset(str(tmp_path), rows_of(6, clip_bytes=10_000))
    samples = ShardedSamples(str(tmp_path), cached_bytes=100)
    for index in range(6):
        samples[index]
    assert reads.groups == {(name, 0): 1, (name, 1): 1}


def test_threads_may_read_together(tmp_path: Path) -> None:
    url, shards = str(tmp_path), rows_of(40, 40)
    write_dataset(url, shards)
    samples = ShardedSamples(url, cached_bytes=1)  # every thread drops what the others have read
    ids = [row["id"] for shard in shards for row in shard]
    indices = random.Random(0).choices(range(len(ids)), k=400)
    with ThreadPoolExecutor(8) as threads:
        assert [sample.id for sample in threads.map(samples.__getitem__, indices)] == [ids[i] for i in indices]


def test_a_data_set_without_samples_is_refused(tmp_path: Path) -> None:
    write_dataset(str(tmp_path), rows_of(0))
    with pytest.raises(DatasetError, match="expected samples, the data set has none"):
        ShardedSamples(str(tmp_path))


def test_a_directory_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a finished data set"):
        ShardedSamples(str(tmp_path / "nothing"))


def test_a_shard_that_is_missing_or_another_is_named(tmp_path: Path) -> None:
    names = write_dataset(str(tmp_path), rows_of(3, 9))
    (tmp_path / f"{names[0]}.parquet").rename(tmp_path / f"{names[1]}.parquet")
    samples = ShardedSamples(str(tmp_path))
    with pytest.raises(DatasetError, match=f"{names[0]}.parquet: expected a shard"):
        samples[0]
    with pytest.raises(DatasetError, match=f"{names[1]}.parquet has 1 row groups, expected number 2 of the index"):
        samples[11]
