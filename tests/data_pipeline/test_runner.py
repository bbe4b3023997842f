import json
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.dataset import DatasetError, DatasetWriter, ShardContent, absolute_url, finished_shards, plan_shards
from data_pipeline.report import Report
from data_pipeline.runner import Make, run_shards
from data_pipeline.schema import REJECT
from ray_jobs.progress import show_progress

pytestmark = pytest.mark.ray


@pytest.fixture
def make() -> Make:
    def make_row(inputs: str) -> ShardContent:  # inside, so that it travels to workers that cannot import this module
        if json.loads(inputs) == "faulty":
            raise RuntimeError("a fault of our own")
        rows = pa.Table.from_pylist([{"value": inputs}])
        return ShardContent(rows=rows, rejects=REJECT.empty_table(), report=Report(rows_in=1, rows_out=1))

    return make_row


def test_every_shard_is_made_and_counted(ray_local: str, make: Make, tmp_path: Path) -> None:
    plan = plan_shards(["a", "b", "c"], made_by=1)
    writer = DatasetWriter(absolute_url(str(tmp_path)))
    assert run_shards(plan, make, writer, show_progress) == Report(rows_in=3, rows_out=3)
    assert list(finished_shards(writer.url)) == [shard.name for shard in plan]


def test_a_fault_ends_the_job_and_leaves_the_dataset_unfinished(ray_local: str, make: Make, tmp_path: Path) -> None:
    writer = DatasetWriter(absolute_url(str(tmp_path)))
    with pytest.raises(RuntimeError, match="a fault of our own"):
        run_shards(plan_shards(["a", "faulty"], made_by=1), make, writer, show_progress)
    with pytest.raises(DatasetError, match="not a finished data set"):
        finished_shards(writer.url)
