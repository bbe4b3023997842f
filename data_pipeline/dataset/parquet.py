"""Parquet files for reading in random order."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 1 << 20
"""Bytes of a row group: what is read together. The footer has some hundred bytes a column for each, so smaller groups
cost more there than they save."""
GROUP_ROWS = 64
"""A row group that is a quarter full has at most so many rows: training shuffles whole groups, and a group of text
alone would else have a hundred times the positions of one with audio. With fewer rows, or less in them, the footers
cost more than they should."""
_FULL = 0.25


def parquet_bytes(table: pa.Table, *, group_bytes: int = GROUP_BYTES) -> bytes:
    """``table`` as a Parquet file in row groups of about ``group_bytes``, or of GROUP_ROWS rows where that makes a
    quarter of them. Equal tables give equal bytes."""
    encoded = [field.name for field in table.schema if not _holds_bytes(field.type)]
    buffer = pa.BufferOutputStream()
    writer = pq.ParquetWriter(
        buffer,
        table.schema,
        use_dictionary=False,
        write_statistics=False,  # nothing is searched by value
        # FLAC does not get smaller.
        compression=dict.fromkeys(encoded, "zstd") if encoded else "none",
    )
    with writer:
        for start, count in _groups(table, group_bytes):
            writer.write_table(table.slice(start, count), row_group_size=count)
    return buffer.getvalue().to_pybytes()


def _holds_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or (pa.types.is_list(kind) and pa.types.is_binary(kind.value_type))


def _groups(table: pa.Table, group_bytes: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each group."""
    start = size = 0
    for row in range(table.num_rows):
        size += table.slice(row, 1).nbytes
        if size >= group_bytes or (row + 1 - start >= GROUP_ROWS and size >= group_bytes * _FULL):
            yield start, row + 1 - start
            start, size = row + 1, 0
    if start < table.num_rows:
        yield start, table.num_rows - start
