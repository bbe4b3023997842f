"""Making the shards of a plan in parallel with Ray Data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import ray.data
from ray.exceptions import RayTaskError

from data_pipeline.dataset import DatasetWriter, Shard, ShardContent
from data_pipeline.progress import Passed, ShowProgress
from data_pipeline.ray_map import map_in_tasks
from data_pipeline.ray_output import quiet_ray_data
from data_pipeline.report import Report
from opens2s_core.audio import SAMPLE_RATE

Make = Callable[[str], ShardContent]
"""Makes a shard from its ``inputs``. It must be deterministic: a task may run again, in another worker."""


def run_shards(plan: Sequence[Shard], make: Make, writer: DatasetWriter, progress: ShowProgress) -> Report:
    """Make and publish the shards of ``plan`` that are not published yet, one Ray task each. Raises what ``make``
    raises, as far as it can be sent between processes."""
    quiet_ray_data()
    pending = writer.start(plan, map_in_tasks)
    rows = sum(shard.rows for shard in plan)
    with progress(rows, rows - sum(shard.rows for shard in pending)) as passed:
        if pending:
            inputs = [asdict(shard) for shard in pending]
            shards = ray.data.from_items(inputs, override_num_blocks=len(inputs))
            try:
                for made in shards.map(partial(publish_shard, make=make, writer=writer)).iter_rows():
                    passed(Passed(**made))
            except RayTaskError as error:  # its text is a traceback
                raise error.cause from error
    return writer.finish([shard.name for shard in plan])


def publish_shard(row: dict[str, Any], *, make: Make, writer: DatasetWriter) -> dict[str, Any]:
    """What one task does."""
    shard = Shard(**row)
    content = make(shard.inputs)
    writer.publish(shard.name, shard.fingerprint, content)
    report = content.report
    rejected = sum(report.rejected.values())
    return {"rows": report.rows_in, "rejected": rejected, "audio_samples": round(report.audio_seconds * SAMPLE_RATE)}
