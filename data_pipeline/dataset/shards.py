"""Parts of a shard: its footer, and some columns of some row groups in few requests."""

import io
from bisect import bisect_right
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.spec import AbstractFileSystem
from fsspec.utils import merge_offset_ranges

from data_pipeline.dataset.layout import DatasetError
from data_pipeline.schema import SAMPLE

_MAX_GAP = 1 << 14
"""Bytes between two columns up to which both are read in one request."""


def shard_path(root: str, name: str) -> str:
    return f"{root}/{name}.parquet"


def read_footer(filesystem: AbstractFileSystem, path: str) -> pq.FileMetaData:
    """Raises :class:`DatasetError` where the file is missing, no Parquet file, or not of schema SAMPLE."""
    try:
        with filesystem.open(path, "rb", cache_type="none") as file:  # other caches read ahead
            footer = pq.read_metadata(file)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: expected a shard of the data set") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{path}: expected a Parquet file: {error}") from error
    schema = footer.schema.to_arrow_schema()
    if not schema.equals(SAMPLE):
        raise DatasetError(f"{path} has columns {schema.names}, expected those of the schema {SAMPLE.names}")
    return footer


def read_row_groups(
    filesystem: AbstractFileSystem, path: str, footer: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str]
) -> pa.Table:
    """The columns of some row groups. Columns that lie near one another are read in one request."""
    chunks = [_range(footer.row_group(group).column(i)) for group in groups for i in _leaves(footer, columns)]
    starts, ends = [start for start, _ in chunks], [end for _, end in chunks]
    paths, starts, ends = merge_offset_ranges([path] * len(chunks), starts, ends, max_gap=_MAX_GAP)
    try:
        parts = filesystem.cat_ranges(paths, starts, ends, on_error="raise") if chunks else []
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: expected a shard of the data set") from error
    # One thread: Arrow's own may outlive the call, and end the process when they meet a file of Python's at its exit.
    file = pq.ParquetFile(_PartialFile(starts, parts), metadata=footer, pre_buffer=False)
    try:
        return file.read_row_groups(list(groups), columns=list(columns), use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: expected the Parquet file that its footer describes: {error}") from error


def _leaves(footer: pq.FileMetaData, columns: Sequence[str]) -> list[int]:
    """The columns as the file stores them: a list of lists, say, by the numbers in it."""
    paths = [footer.schema.column(i).path for i in range(footer.num_columns)]
    return [i for i, path in enumerate(paths) if path.partition(".")[0] in columns]


def _range(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


class _PartialFile(io.RawIOBase):
    """A file of which only some ranges can be read."""

    def __init__(self, starts: Sequence[int], parts: Sequence[bytes]) -> None:
        self._starts, self._parts = starts, parts
        self._size = starts[-1] + len(parts[-1]) if parts else 0
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        part = bisect_right(self._starts, self._position) - 1
        begin = self._position - self._starts[part]
        data = self._parts[part][begin : begin + size]
        self._position += len(data)
        return data
