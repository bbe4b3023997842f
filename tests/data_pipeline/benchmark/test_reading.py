from pathlib import Path

from data_pipeline.benchmark.reading import (
    READERS,
    ReadingBenchmark,
    read_amplification,
    reading_rows,
    write_random_samples,
)

SMALL = ReadingBenchmark(spoken_rows=240, written_rows=8192, index_rows=20_000, repeats=1)


def test_shuffled_reading_costs_little_more_than_the_samples(tmp_path: Path) -> None:
    rows = list(reading_rows(SMALL, tmp_path))
    assert [row.name for row in rows] == [
        "open a data set of 20,000 rows and plan the first step",
        "bytes read per byte used, 10 s clips, 1 reader",
        f"bytes read per byte used, 10 s clips, {READERS} readers",
        "bytes read per byte used, 2 kB of text, 1 reader",
        f"bytes read per byte used, 2 kB of text, {READERS} readers",
    ]
    assert all(row.holds for row in rows)
    assert all(row.value > 1 for row in rows[1:] if row.value)


def test_short_texts_cost_little_more_too(tmp_path: Path) -> None:
    url = write_random_samples(tmp_path / "short", 10_240, 20, 0, 60)
    assert read_amplification(url, 1) < 1.2
    assert read_amplification(url, READERS) < 1.4


def test_readers_that_share_row_groups_read_them_more_than_once(tmp_path: Path) -> None:
    """With no more row groups than a window has, every reader reads all of them."""
    url = write_random_samples(tmp_path / "few", 40, 1, 150_000, 60)
    assert read_amplification(url, 1) < 1.1
    assert read_amplification(url, READERS) > 2
