"""What a sample of a sharded data set costs to read in shuffled order, and how long a large data set takes to open."""

import io
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from data_pipeline.dataset.index import INDEX_SCHEMA, build_index, with_shards, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles, shard_name
from data_pipeline.dataset.parquet import parquet_bytes
from data_pipeline.dataset.samples import ShardedSamples
from data_pipeline.schema import SAMPLE
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.training.plan import Lengths, PlanConfig, Step, plan_steps

READERS = 8
_MAX_RATIO = 1.2
_MAX_OPENING_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingBenchmark:
    """Sizes of the data sets that are made: rows with a clip of 10 s (150 kB) or with 2 kB of text, as many to a shard
    as data preparation has, and rows of the index that is opened ``repeats`` times."""

    spoken_rows: int = 1024
    written_rows: int = 20480
    shard_rows: int = 512
    index_rows: int = 1_000_000
    repeats: int = 5


def reading_rows(benchmark: ReadingBenchmark, directory: Path) -> Iterator[Measurement]:
    """The rows of the report. ``directory`` has room for the data sets, which stay there."""
    yield opening_row(benchmark, directory / "large")
    for name, clip_bytes, tokens, rows in (
        ("10 s clips", 150_000, 60, benchmark.spoken_rows),
        ("2 kB of text", 0, 620, benchmark.written_rows),
    ):
        shards = max(rows // benchmark.shard_rows, 1)
        url = write_random_samples(directory / name.replace(" ", "-"), rows, shards, clip_bytes, tokens)
        for readers in (1, READERS):
            yield amplification_row(name, url, readers)


def amplification_row(name: str, url: str, readers: int) -> Measurement:
    """Bytes read per byte used over an epoch of the data set at the local path ``url``, with as many ``readers``."""
    return Measurement(
        name=f"bytes read per byte used, {name}, {readers} reader{'s' if readers > 1 else ''}",
        value=read_amplification(url, readers),
        unit="ratio",
        bound=Bound("at most", _MAX_RATIO),
        better="lower",
    )


def read_amplification(url: str, readers: int) -> float:
    """Bytes read from the local path ``url``, index and footers included, per byte of the samples read.

    It is read once in the order of training, by ``readers`` that share each step as the ranks do.
    """
    fsspec.register_implementation(CountingFileSystem.protocol, CountingFileSystem, clobber=True)
    CountingFileSystem.bytes_read = 0
    ranks = [ShardedSamples(f"{CountingFileSystem.protocol}://{url}") for _ in range(readers)]
    used = 0
    for step in _first_epoch(ranks[0], PlanConfig(micro_batches_per_step=READERS)):
        for lane, micro_batch in enumerate(step.micro_batches):
            for index in micro_batch:
                ranks[lane % readers][index]
                used += int(ranks[0].index.bytes[index])
    return CountingFileSystem.bytes_read / used


def opening_row(benchmark: ReadingBenchmark, directory: Path) -> Measurement:
    """Seconds to open a data set and plan the first step."""
    url = write_random_index(directory, benchmark.index_rows)
    seconds = []
    for _ in range(benchmark.repeats):
        start = time.perf_counter()
        next(_first_epoch(ShardedSamples(url), PlanConfig(micro_batches_per_step=READERS)))
        seconds.append(time.perf_counter() - start)
    return Measurement(
        name=f"open a data set of {benchmark.index_rows:,} rows and plan the first step",
        value=statistics.median(seconds),
        unit="s",
        bound=Bound("at most", _MAX_OPENING_SECONDS),
        better="lower",
    )


def _first_epoch(samples: ShardedSamples, plan: PlanConfig) -> Iterator[Step]:
    lengths = Lengths(samples.lengths, samples.speech_lengths)
    for step in plan_steps(lengths, plan, first=0, last=len(samples), groups=samples.groups):
        if step.epoch:
            return
        yield step


class CountingFileSystem(AbstractFileSystem):
    """Local files, ``counted:///path``, with the bytes that all readers have read of them."""

    protocol = "counted"
    cachable = False
    bytes_read = 0

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return LocalFileSystem().info(self._strip_protocol(path))

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> "_CountedFile":
        return _CountedFile(path, mode)


class _CountedFile(io.FileIO):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        CountingFileSystem.bytes_read += len(data)
        return data


def write_random_samples(directory: Path, rows: int, shards: int, clip_bytes: int, tokens: int) -> str:
    """A finished data set of rows about this large; ``clip_bytes`` 0: without audio."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [shard_name(number, shards) for number in range(shards)]
    for name in names:
        samples = [_random_sample(rng, clip_bytes, tokens) for _ in range(rows // shards)]
        table = pa.Table.from_pylist(samples, schema=SAMPLE)
        (directory / f"{name}.parquet").write_bytes(parquet_bytes(table))
    return _finish(directory, build_index(LocalFileSystem(), str(directory), names))


def _random_sample(rng: np.random.Generator, clip_bytes: int, tokens: int) -> dict[str, Any]:
    size = float(rng.uniform(0.5, 1.5))
    tokens, clip_bytes = int(tokens * size), int(clip_bytes * size)
    return {
        "id": f"sample-{rng.integers(1 << 40)}",
        "input_ids": rng.integers(0, 150_000, tokens),
        "token_types": np.zeros(tokens, np.int8),
        "labels": np.full(tokens, -100),
        "audios": [rng.bytes(clip_bytes)] if clip_bytes else [],
        "units": [],
        "speakers": [],
        "emotion": "",
        "transcript": "",
        "teacher_ids": [],
        "teacher_labels": [],
        "corpus": "random",
        "language": "en",
        "length": tokens + int(125 * size) * bool(clip_bytes),  # 10 s are 125 positions
        "speech_length": 0,
        "text_labels": 0,
        "unit_labels": 0,
    }


def write_random_index(directory: Path, rows: int) -> str:
    """A finished data set without shards: its index alone."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    number = np.arange(rows)
    columns = {
        "shard": number // 1000,
        "group": number % 1000 // 7,
        "row": number % 1000 % 7,
        "bytes": rng.integers(75_000, 225_000, rows),
        "length": rng.integers(80, 300, rows),
        "speech_length": rng.integers(60, 400, rows),
        "text_labels": rng.integers(20, 60, rows),
        "unit_labels": rng.integers(30, 200, rows),
    }
    arrays = [pa.array(values, INDEX_SCHEMA.field(name).type) for name, values in columns.items()]
    labels = [pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [value]) for value in ("random", "en")]
    shards = [shard_name(shard, -(-rows // 1000)) for shard in range(-(-rows // 1000))]
    return _finish(directory, with_shards(pa.table([*arrays, *labels], schema=INDEX_SCHEMA), shards))


def _finish(directory: Path, index: pa.Table) -> str:
    write_index(DatasetFiles(str(directory)), index)
    (directory / MANIFEST).write_text("{}\n")
    return str(directory)
