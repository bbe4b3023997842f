"""Prepared samples by index, for training."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from data_pipeline.schema import SAMPLE
from opens2s_core.training.batch import EncodedSample

_CACHED_GROUPS = 64


class ParquetSamples:
    """Shards of schema SAMPLE under a local directory or an s3:// address.

    Lengths and label counts of all samples are in memory; a sample is read with its row group, and the latest row
    groups are kept. Indices follow the shards' names, then their rows.
    """

    def __init__(self, directory: str) -> None:
        filesystem, path = pyarrow.fs.FileSystem.from_uri(directory) if "://" in directory else (None, directory)
        dataset = ds.dataset(path, schema=SAMPLE, format="parquet", filesystem=filesystem, exclude_invalid_files=False)
        self._filesystem = dataset.filesystem
        self._places: list[tuple[str, int, int]] = []  # shard, row group, row in it
        numbers: dict[str, list[int]] = {"length": [], "text_labels": [], "unit_labels": []}
        for shard in sorted(dataset.files):
            file = pq.ParquetFile(shard, filesystem=self._filesystem)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(numbers))
                self._places += [(shard, group, row) for row in range(table.num_rows)]
                for name, values in numbers.items():
                    values += table[name].to_pylist()
        if not self._places:
            raise ValueError(f"{directory}: no prepared samples in it")
        self.lengths: Sequence[int] = numbers["length"]
        self.text_labels: Sequence[int] = numbers["text_labels"]
        self.unit_labels: Sequence[int] = numbers["unit_labels"]
        self._groups: OrderedDict[tuple[str, int], list[dict[str, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> EncodedSample:
        shard, group, row = self._places[index]
        values = self._group(shard, group)[row]
        return EncodedSample(
            input_ids=values["input_ids"],
            token_types=values["token_types"],
            labels=values["labels"],
            audios=values["audios"],
            units=values["units"],
        )

    def _group(self, shard: str, group: int) -> list[dict[str, Any]]:
        key = (shard, group)
        if key not in self._groups:
            self._groups[key] = pq.ParquetFile(shard, filesystem=self._filesystem).read_row_group(group).to_pylist()
            if len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]
