"""Stages of the pipeline that run a model, and their outputs: stored batch by batch, so that no later run repeats them.

``_model_outputs/<step>-<fingerprint>/<shard>/`` holds a table of each batch. The fingerprint covers the plan, the model
and all settings before it, so a job that resumes, or one that tokenises otherwise, uses the stored outputs.
"""

import io
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from ray.data import ActorPoolStrategy

from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.preparation.work import WORK, from_table, to_table
from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.steps.row import ModelStep, PreparedRow

_MADE = ("continuation", "units", "speakers")
_OUTPUT = pa.schema([WORK.field("position"), *(WORK.field(name) for name in _MADE), WORK.field("reject_reason")])


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """An autoscaling pool of actors that run a model: ``batch_rows`` rows a call; resources of one actor."""

    min_actors: int = 1
    max_actors: int = 1
    batch_rows: int = 32
    cpus: float = 0.5
    gpus: float = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_actors <= self.max_actors or self.batch_rows < 1:
            raise ValueError(f"expected 1 <= min_actors <= max_actors and batch_rows >= 1, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelStage(ABC):
    """A model in the pipeline. It makes a ``field`` of :class:`PreparedRow`."""

    name: str
    field: str
    pool: PoolConfig
    fingerprint: str

    def needs(self, row: PreparedRow) -> bool:
        return row.reject is None and getattr(row, self.field) is None

    @abstractmethod
    def run(self, data: ray.data.Dataset, outputs: "ModelOutputs") -> ray.data.Dataset:
        """``data`` of schema WORK, in the same schema, with what the model makes for the rows that need it. That is
        stored in ``outputs`` too."""


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """The stored outputs of models for the rows of one plan, at ``url``."""

    url: str

    def write(self, stage: ModelStage, shard: str, made: Mapping[int, Mapping[str, Any] | RejectedRow]) -> None:
        """Store the outputs for some rows of a shard, by position, except those that a later run may get."""
        made = {position: output for position, output in made.items() if not isinstance(output, Unavailable)}
        if not made:
            return
        rows = [
            {"position": position}
            | ({"reject_reason": str(output)} if isinstance(output, RejectedRow) else dict(output))
            for position, output in sorted(made.items())
        ]
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=_OUTPUT), buffer)
        name = f"{min(made):06d}-{uuid.uuid4().hex[:8]}.parquet"
        DatasetFiles(self.url).put(f"{self._directory(stage, shard)}/{name}", buffer.getvalue().to_pybytes())

    def add_to(self, rows: Sequence[PreparedRow], stage: ModelStage) -> list[PreparedRow]:
        """``rows`` of one shard with what is stored for them."""
        if not rows:
            return []
        files = DatasetFiles(self.url)
        directory = self._directory(stage, rows[0].shard)
        stored: dict[int, Mapping[str, Any] | RejectedRow] = {}
        for name in files.names(directory):
            for row in pq.read_table(io.BytesIO(files.read(f"{directory}/{name}"))).to_pylist():
                reason = row.pop("reject_reason")
                # A task that was repeated after a failure may have stored a row twice: the first one counts.
                stored.setdefault(row.pop("position"), row if reason is None else RejectedRow(reason))
        return [
            with_output(row, stage, stored[row.position]) if stage.needs(row) and row.position in stored else row
            for row in rows
        ]

    def _directory(self, stage: ModelStage, shard: str) -> str:
        return f"_model_outputs/{stage.name}-{stage.fingerprint[:16]}/{shard}"


def with_output(row: PreparedRow, stage: ModelStage, output: Mapping[str, Any] | RejectedRow) -> PreparedRow:
    if isinstance(output, RejectedRow):
        return row.rejected(stage.name, output)
    value = output[stage.field]
    made: Any = {stage.field: value if isinstance(value, str) else tuple(map(tuple, value))}
    return replace(row, **made)


def store_outputs(
    rows: Sequence[PreparedRow],
    made: Mapping[int, Mapping[str, Any] | RejectedRow],
    stage: ModelStage,
    outputs: ModelOutputs,
) -> list[PreparedRow]:
    """``rows`` with what a model has made for some of them, by index, once it is stored."""
    by_shard: dict[str, dict[int, Mapping[str, Any] | RejectedRow]] = {}
    for index, output in made.items():
        by_shard.setdefault(rows[index].shard, {})[rows[index].position] = output
    for shard, of_shard in by_shard.items():
        outputs.write(stage, shard, of_shard)
    return [with_output(row, stage, made[index]) if index in made else row for index, row in enumerate(rows)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorStage(ModelStage):
    """A model in actors of the pipeline's own: ``build`` loads it, once an actor."""

    build: Callable[[], ModelStep]

    def run(self, data: ray.data.Dataset, outputs: ModelOutputs) -> ray.data.Dataset:
        return data.map_batches(
            ModelActor,
            fn_constructor_args=(self, outputs),
            batch_size=self.pool.batch_rows,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=self.pool.min_actors, max_size=self.pool.max_actors),
            num_cpus=self.pool.cpus,
            num_gpus=self.pool.gpus,
        )


class ModelActor:
    """Runs in each actor of a stage's pool: tables of schema WORK in and out."""

    def __init__(self, stage: ActorStage, outputs: ModelOutputs) -> None:
        self._stage, self._outputs, self._step = stage, outputs, stage.build()

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = from_table(table)
        todo = [index for index, row in enumerate(rows) if self._stage.needs(row)]
        if not todo:
            return table
        made = self._step([rows[index] for index in todo])
        return to_table(store_outputs(rows, dict(zip(todo, made, strict=True)), self._stage, self._outputs))
