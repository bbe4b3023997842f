"""Small finished data sets of schema SAMPLE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from data_pipeline.dataset.index import build_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.schema import SAMPLE

GROUP_ROWS = 3


def sample_row(number: int, *, language: str = "en", clip_bytes: int = 500) -> dict[str, Any]:
    """A row that differs from those of other numbers; every third has no audio, every second a known speaker."""
    rng = np.random.default_rng(number)
    tokens = int(rng.integers(4, 40))
    audio = number % 3 > 0
    return {
        "id": f"row-{number}",
        "input_ids": rng.integers(0, 1000, tokens).tolist(),
        "token_types": rng.integers(0, 2, tokens).tolist(),
        "labels": rng.integers(-100, 1000, tokens).tolist(),
        "audios": [rng.bytes(clip_bytes)] if audio else [],
        "units": [rng.integers(0, 64, 5).tolist(), []],
        "speakers": [[0.5, number, -1.0] if number % 2 else [], []],
        "emotion": "sad" if audio else "",
        "transcript": f"words {number}" if audio else "",
        "teacher_ids": rng.integers(0, 1000, tokens).tolist() if audio else [],
        "teacher_labels": rng.integers(-100, 1000, tokens).tolist() if audio else [],
        "corpus": f"corpus-{number % 2}",
        "language": language,
        "length": tokens + 20 * audio,
        "speech_length": 3 * number,
        "text_labels": number,
        "unit_labels": 2 * number,
    }


def write_dataset(url: str, shards: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Publish the rows of each shard; returns the names of the shards."""
    filesystem, root = url_to_fs(url)
    filesystem.makedirs(root, exist_ok=True)
    names = [f"{number:05d}-of-{len(shards):05d}" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        with filesystem.open(f"{root}/{name}.parquet", "wb") as file:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=SAMPLE), file, row_group_size=GROUP_ROWS)
    write_index(DatasetFiles(url), build_index(filesystem, root, names))
    filesystem.pipe_file(f"{root}/{MANIFEST}", b"{}")
    return names


def rows_of(*sizes: int, **settings: Any) -> list[list[dict[str, Any]]]:
    """Rows of shards of these sizes, numbered from 0 over all of them."""
    numbers = iter(range(sum(sizes)))
    return [[sample_row(next(numbers), **settings) for _ in range(size)] for size in sizes]
