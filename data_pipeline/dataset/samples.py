"""Prepared samples by index, for training."""

import threading
from collections import OrderedDict
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from data_pipeline.dataset.index import Index, read_index
from data_pipeline.dataset.layout import DatasetError
from data_pipeline.dataset.shards import read_footer, read_row_groups, shard_path
from opens2s_core.training.batch import EncodedSample

_COLUMNS = [field.name for field in fields(EncodedSample)]
_CACHED_BYTES = 1 << 30


class ShardedSamples:
    """The finished data set of schema SAMPLE at ``url``; indices follow its shards, then their rows.

    Opening it reads its index alone. A sample is read with its row group, in a request or a few. The row groups that
    were used last are kept, up to ``cached_bytes`` in memory, and so is the footer of each shard. Raises
    :class:`DatasetError` for what is not such a data set.
    """

    def __init__(self, url: str, *, cached_bytes: int = _CACHED_BYTES) -> None:
        self._filesystem, self._root = url_to_fs(url, use_listings_cache=False)
        self.index: Index = read_index(url)
        if not len(self.index):
            raise DatasetError(f"{url}: expected samples, the data set has none")
        self._footers: dict[int, pq.FileMetaData] = {}  # by shard
        self._cached: OrderedDict[int, pa.Table] = OrderedDict()  # by row group, the latest used last
        self._cached_bytes, self._max_cached_bytes = 0, cached_bytes
        self._lock = threading.Lock()  # validation reads while a thread loads the next steps

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lengths(self) -> NDArray[np.int32]:
        return self.index.lengths

    @property
    def speech_lengths(self) -> NDArray[np.int32]:
        return self.index.speech_lengths

    @property
    def text_labels(self) -> NDArray[np.int32]:
        return self.index.text_labels

    @property
    def unit_labels(self) -> NDArray[np.int32]:
        return self.index.unit_labels

    @property
    def groups(self) -> NDArray[np.int64]:
        """The row group of each sample (n,), numbered from 0 over all shards."""
        return self.index.groups

    def epoch_groups(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Each row group once."""
        return np.arange(self.groups[-1] + 1)

    def __getitem__(self, index: int) -> EncodedSample:
        (row,) = self._group(index).slice(self.index.row[index], 1).to_pylist()
        return EncodedSample(**row)

    def _group(self, index: int) -> pa.Table:
        """The row group of a sample."""
        number = int(self.groups[index])
        with self._lock:
            if number in self._cached:
                self._cached.move_to_end(number)
                return self._cached[number]
            table = self._read_group(int(self.index.shard[index]), int(self.index.group[index]))
            self._cached[number] = table
            self._cached_bytes += table.nbytes
            while self._cached_bytes > self._max_cached_bytes and len(self._cached) > 1:
                self._cached_bytes -= self._cached.popitem(last=False)[1].nbytes
            return table

    def _read_group(self, shard: int, group: int) -> pa.Table:
        path = shard_path(self._root, self.index.shards[shard])
        if shard not in self._footers:
            self._footers[shard] = read_footer(self._filesystem, path)
        footer = self._footers[shard]
        if group >= footer.num_row_groups:
            raise DatasetError(
                f"{path} has {footer.num_row_groups} row groups, expected number {group} of the index: it is of "
                "another shard"
            )
        return read_row_groups(self._filesystem, path, footer, [group], _COLUMNS)
