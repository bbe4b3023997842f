"""Shards made in parallel with Ray Data."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray.data

from data_pipeline.dataset import DatasetWriter, Shard, ShardContent
from data_pipeline.report import Report

Make = Callable[[str], ShardContent]
"""Makes a shard from its ``inputs``; runs in any worker, any number of times, always with the same result."""


def run_shards(plan: Sequence[Shard], make: Make, sink: DatasetWriter) -> Report:
    """Make and publish the shards of ``plan`` that are not yet there, one Ray task each."""
    pending = sink.start(plan)
    if pending:
        rows = [{"name": shard.name, "inputs": shard.inputs, "fingerprint": shard.fingerprint} for shard in pending]
        ray.data.from_items(rows).map(partial(publish_shard, make=make, sink=sink)).materialize()
    return sink.finish([shard.name for shard in plan])


def publish_shard(row: dict[str, Any], *, make: Make, sink: DatasetWriter) -> dict[str, Any]:
    """What one task does; the progress bar shows this name."""
    shard = Shard(**row)
    sink.publish(shard.name, shard.fingerprint, make(shard.inputs))
    return {"name": shard.name}
