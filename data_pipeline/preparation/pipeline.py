"""The streaming pipeline on Ray Data: tasks decode, actor pools run models, tasks tokenise and publish.

Ray Data bundles and splits blocks as it likes and repeats tasks of workers that died. So rows carry their shard's name
and their position in it. A task that holds all rows of a shard publishes it; where its rows come in several blocks, the
driver has it published by a task of its own once all have passed, from what the models have stored.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import ray
import ray.data

from data_pipeline.preparation.models import ModelOutputs, ModelStage
from data_pipeline.preparation.planning import Plan
from data_pipeline.preparation.work import WORK, from_table, to_table
from data_pipeline.progress import Passed
from data_pipeline.records import RejectedRow
from data_pipeline.steps.row import PreparedRow

_PASSED = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("positions", pa.list_(pa.int32()), nullable=False),
        pa.field("published", pa.bool_(), nullable=False),
        pa.field("rejected", pa.int32(), nullable=False),
        pa.field("audio_samples", pa.int64(), nullable=False),
    ]
)
"""Rows of one shard that have passed the pipeline together."""

_PUBLISHERS = 4
"""Shards that are published at once by tasks of their own: each holds a whole shard in memory."""


_NOT_STORED = RejectedRow("no answer: the service of the model did not answer")
"""Such an answer is not stored, see :class:`~data_pipeline.records.Unavailable`."""


class Preparation(Protocol):
    """What the tasks of one job read; sent to each of them."""

    @property
    def plan(self) -> Plan: ...

    @property
    def stages(self) -> Sequence[ModelStage]:
        """The models through which rows pass, in order."""
        ...

    @property
    def output(self) -> str:
        """URL of the data set, where the outputs of models are stored too."""
        ...

    def load(self, shard: str) -> list[PreparedRow]:
        """The live rows of a shard, ready for the models, with what is stored of their outputs."""
        ...

    def publish(self, shard: str, rows: Sequence[PreparedRow]) -> int:
        """Publish a shard, given all its live rows after the models; returns how many of them were rejected."""
        ...


def prepare_shards(preparation: Preparation, shards: Sequence[str], on_progress: Callable[[Passed], None]) -> None:
    """Publish every one of ``shards``."""
    empty = [shard for shard in shards if not preparation.plan.live_rows(shard)]
    publisher = _Publisher(preparation)
    for shard in empty:
        publisher.submit(shard)
    waiting: dict[str, set[int]] = defaultdict(set)
    for part in _stream(preparation, [shard for shard in shards if shard not in set(empty)]):
        new = set(part["positions"]) - waiting[part["shard"]]
        waiting[part["shard"]] |= new
        if part["published"]:
            del waiting[part["shard"]]
        elif len(waiting[part["shard"]]) == preparation.plan.live_rows(part["shard"]):
            publisher.submit(part["shard"])
            del waiting[part["shard"]]
        on_progress(Passed(rows=len(new), rejected=part["rejected"], audio_samples=part["audio_samples"]))
    publisher.wait()
    assert not waiting, f"rows of {len(waiting)} shards did not pass the pipeline"


def _stream(preparation: Preparation, shards: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not shards:
        return
    rows = [{"shard": shard} for shard in shards]
    data: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    data = data.map_batches(partial(load_shards, preparation=preparation), batch_size=None, batch_format="pyarrow")
    for stage in preparation.stages:
        data = stage.run(data, ModelOutputs(preparation.output))
    data = data.map_batches(partial(finish_rows, preparation=preparation), batch_size=None, batch_format="pyarrow")
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        assert isinstance(batch, pa.Table)
        yield from batch.to_pylist()


def load_shards(table: pa.Table, *, preparation: Preparation) -> Iterator[pa.Table]:
    """Names of shards → tables of schema WORK, one a shard."""
    for shard in table["shard"].to_pylist():
        yield to_table(preparation.load(shard))


def finish_rows(table: pa.Table, *, preparation: Preparation) -> pa.Table:
    """A table of schema WORK → what has passed; each shard that is whole in it is published."""
    assert table.schema.names == WORK.names, table.schema
    by_shard: dict[str, list[PreparedRow]] = defaultdict(list)
    for row in from_table(table):
        by_shard[row.shard].append(row)
    return pa.Table.from_pylist([_finish(preparation, shard, rows) for shard, rows in by_shard.items()], schema=_PASSED)


def _finish(preparation: Preparation, shard: str, rows: list[PreparedRow]) -> dict[str, Any]:
    whole = len({row.position for row in rows}) == preparation.plan.live_rows(shard)
    rejected = preparation.publish(shard, rows) if whole else sum(row.reject is not None for row in rows)
    return {
        "shard": shard,
        "positions": [row.position for row in rows],
        "published": whole,
        "rejected": rejected,
        "audio_samples": sum(sum(row.clip_samples) for row in rows if row.reject is None),
    }


class _Publisher:
    """Publishes shards whose rows have come in several blocks, a few at a time."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = ray.put(preparation)
        self._running: list[ray.ObjectRef] = []

    def submit(self, shard: str) -> None:
        if len(self._running) >= _PUBLISHERS:
            done, self._running = ray.wait(self._running)
            ray.get(done)
        self._running.append(_publish_alone.remote(self._preparation, shard))

    def wait(self) -> None:
        ray.get(self._running)


@ray.remote
def _publish_alone(preparation: Preparation, shard: str) -> None:
    rows = preparation.load(shard)
    for stage in preparation.stages:
        rows = [row.rejected(stage.name, _NOT_STORED) if stage.needs(row) else row for row in rows]
    preparation.publish(shard, rows)
