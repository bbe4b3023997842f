import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.dataset.parquet import GROUP_ROWS, parquet_bytes


def groups(clips: list[bytes], **settings: int) -> list[int]:
    """Rows of each row group of a file with these clips."""
    table = pa.table({"clip": pa.array(clips, pa.binary())})
    data = parquet_bytes(table, **settings)
    assert pq.read_table(pa.BufferReader(data)).equals(table)
    footer = pq.read_metadata(pa.BufferReader(data))
    return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]


def test_a_row_group_ends_once_it_is_large_enough() -> None:
    assert groups([bytes(400)] * 7, group_bytes=1000) == [3, 3, 1]
    assert groups([bytes(400), bytes(4000), bytes(400), bytes(4000)], group_bytes=1000) == [2, 2]


def test_a_group_of_small_rows_has_no_more_of_them_than_the_limit() -> None:
    assert groups([bytes(400)] * (2 * GROUP_ROWS + 1), group_bytes=50_000) == [GROUP_ROWS, GROUP_ROWS, 1]


def test_a_group_of_tiny_rows_has_as_many_as_fill_a_quarter_of_it() -> None:
    assert groups([bytes(96)] * 600, group_bytes=100_000) == [250, 250, 100]  # 4 bytes each are its length


def test_a_table_without_rows_has_no_group() -> None:
    assert groups([]) == []
