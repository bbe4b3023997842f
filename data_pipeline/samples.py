"""Prepared samples by index, for training."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from data_pipeline.dataset import absolute_url, finished_shards
from opens2s_core.training.batch import EncodedSample

_CACHED_GROUPS = 64
_COLUMNS = ["input_ids", "token_types", "labels", "audios", "units"]


class ParquetSamples:
    """The finished dataset of schema SAMPLE at ``url``; indices follow the shards' names, then their rows.

    Lengths and label counts of all samples are in memory. A sample is read with its row group, and the latest row
    groups are kept.
    """

    def __init__(self, url: str) -> None:
        self._filesystem, root = url_to_fs(absolute_url(url))
        self._places: list[tuple[str, int, int]] = []  # file, row group, row in it
        numbers: dict[str, list[int]] = {"length": [], "text_labels": [], "unit_labels": []}
        for name in finished_shards(url):
            path = f"{root}/{name}.parquet"
            file = pq.ParquetFile(path, filesystem=self._filesystem)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(numbers))
                self._places += [(path, group, row) for row in range(table.num_rows)]
                for column, values in numbers.items():
                    values += table[column].to_pylist()
        if not self._places:
            raise ValueError(f"{url}: no samples in it")
        self.lengths: Sequence[int] = numbers["length"]
        self.text_labels: Sequence[int] = numbers["text_labels"]
        self.unit_labels: Sequence[int] = numbers["unit_labels"]
        self._groups: OrderedDict[tuple[str, int], list[dict[str, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> EncodedSample:
        path, group, row = self._places[index]
        return EncodedSample(**self._group(path, group)[row])

    def _group(self, path: str, group: int) -> list[dict[str, Any]]:
        key = (path, group)
        if key not in self._groups:
            table = pq.ParquetFile(path, filesystem=self._filesystem).read_row_group(group, columns=_COLUMNS)
            self._groups[key] = table.to_pylist()
            if len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]
