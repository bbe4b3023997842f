"""Steps that run a model in actors, and their outputs: stored batch by batch, so that no later run repeats them.

``_model_outputs/<step>-<fingerprint>/<shard>/`` holds a table of each batch. The fingerprint covers the plan, the model
and all settings before it, so a job that resumes, or one that tokenises otherwise, uses the stored outputs.
"""

import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
class ModelStage:
    """A model in the pipeline. It makes a ``field`` of :class:`PreparedRow`; ``build`` loads it, once an actor."""

    name: str
    field: str
    build: Callable[[], ModelStep]
    pool: PoolConfig
    fingerprint: str

    def needs(self, row: PreparedRow) -> bool:
        return row.reject is None and getattr(row, self.field) is None


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


class ModelActor:
    """Runs in each actor of a stage's pool: tables of schema WORK in and out."""

    def __init__(self, stage: ModelStage, outputs: ModelOutputs) -> None:
        self._stage, self._outputs, self._step = stage, outputs, stage.build()

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = from_table(table)
        todo = [index for index, row in enumerate(rows) if self._stage.needs(row)]
        if not todo:
            return table
        made = self._step([rows[index] for index in todo])
        by_shard: dict[str, dict[int, Mapping[str, Any] | RejectedRow]] = {}
        for index, output in zip(todo, made, strict=True):
            by_shard.setdefault(rows[index].shard, {})[rows[index].position] = output
            rows[index] = with_output(rows[index], self._stage, output)
        for shard, outputs in by_shard.items():
            self._outputs.write(self._stage, shard, outputs)
        return to_table(rows)
