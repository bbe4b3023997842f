import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.dataset import (
    DatasetError,
    DatasetWriter,
    Shard,
    ShardContent,
    absolute_url,
    finished_shards,
    plan_shards,
    read_report,
    read_shard,
)
from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.report import Report
from data_pipeline.schema import REJECT

ROWS = pa.schema([pa.field("id", pa.string(), nullable=False)])


def content(shard: Shard) -> ShardContent:
    """Two rows and one reject, named by the shard's inputs."""
    value = json.loads(shard.inputs)
    return ShardContent(
        rows=pa.Table.from_pylist([{"id": f"{value}a"}, {"id": f"{value}b"}], schema=ROWS),
        rejects=pa.Table.from_pylist([{"id": f"{value}c", "step": "s", "reason": "r"}], schema=REJECT),
        report=Report(rows_in=3, rows_out=2, rejected={"s: r": 1}),
        files={"txt": f"{value}".encode()},
    )


def run(writer: DatasetWriter, plan: list[Shard]) -> list[str]:
    """Make the data set; returns the names of the shards that were made."""
    pending = writer.start(plan)
    for shard in pending:
        writer.publish(shard.name, shard.fingerprint, content(shard))
    writer.finish([shard.name for shard in plan])
    return [shard.name for shard in pending]


def ids(url: str) -> list[str]:
    return [row["id"] for name in finished_shards(url) for row in read_shard(url, name, ROWS).to_pylist()]


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file() and "_tmp" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def times(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


@pytest.fixture(params=["disk", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return absolute_url(str(tmp_path))
    request.getfixturevalue("s3")
    return f"s3://bucket/{uuid.uuid4().hex}"


def test_every_row_is_published_once_and_counted(url: str) -> None:
    plan = plan_shards(["x", "y", "z"], made_by=1)
    assert run(DatasetWriter(url), plan) == ["00000-of-00003", "00001-of-00003", "00002-of-00003"]
    assert ids(url) == ["xa", "xb", "ya", "yb", "za", "zb"]
    assert finished_shards(url) == {shard.name: shard.fingerprint for shard in plan}
    report = Report(rows_in=9, rows_out=6, rejected={"s: r": 3})
    assert DatasetWriter(url).finish([shard.name for shard in plan]) == report
    assert read_report(url) == report


def test_rejects_stand_beside(tmp_path: Path) -> None:
    run(DatasetWriter(absolute_url(str(tmp_path))), plan_shards(["x"], made_by=1))
    table = pq.read_table(tmp_path / "_rejects" / "00000-of-00001.parquet")
    assert table.to_pylist() == [{"id": "xc", "step": "s", "reason": "r"}]


def test_a_plain_parquet_reader_sees_only_rows(url: str) -> None:
    run(DatasetWriter(url), plan_shards(["x", "y"], made_by=1))
    filesystem, root = fsspec.core.url_to_fs(url)
    assert sorted(pq.read_table(root, filesystem=filesystem)["id"].to_pylist()) == ["xa", "xb", "ya", "yb"]


def test_running_a_finished_job_again_changes_nothing(tmp_path: Path) -> None:
    writer, plan = DatasetWriter(absolute_url(str(tmp_path))), plan_shards(["x", "y"], made_by=1)
    run(writer, plan)
    before = times(tmp_path)
    assert run(writer, plan) == []
    assert times(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["00001-of-00002.parquet", "_rejects/00001-of-00002.parquet", "_files/00001-of-00002.txt"]
)
def test_a_shard_with_a_flipped_bit_is_made_again_alone(url: str, name: str) -> None:
    writer, plan = DatasetWriter(url), plan_shards(["x", "y"], made_by=1)
    run(writer, plan)
    whole, data = DatasetFiles(url).read(name), bytearray(DatasetFiles(url).read(name))
    data[len(data) // 2] ^= 1
    DatasetFiles(url).put(name, bytes(data))
    assert run(writer, plan) == ["00001-of-00002"]
    assert DatasetFiles(url).read(name) == whole


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[1]", b'{"fingerprint": 1', b"\xff"])
def test_a_shard_with_a_damaged_marker_is_made_again_alone(url: str, damaged: bytes) -> None:
    writer, plan = DatasetWriter(url), plan_shards(["x", "y"], made_by=1)
    run(writer, plan)
    DatasetFiles(url).put("_shards/00000-of-00002.json", damaged)
    assert run(writer, plan) == ["00000-of-00002"]


def test_a_hash_is_that_of_the_whole_file(url: str) -> None:
    data = bytes(range(256)) * 100_000
    DatasetFiles(url).put("file", data)
    assert DatasetFiles(url).sha256("file") == hashlib.sha256(data).hexdigest()


def test_only_shards_whose_inputs_changed_are_made_again(url: str) -> None:
    run(DatasetWriter(url), plan_shards(["x", "y", "z"], made_by=1))
    assert run(DatasetWriter(url), plan_shards(["x", "new", "z"], made_by=1)) == ["00001-of-00003"]
    assert ids(url) == ["xa", "xb", "newa", "newb", "za", "zb"]


def test_another_recipe_makes_everything_again(url: str) -> None:
    run(DatasetWriter(url), plan_shards(["x", "y"], made_by=1))
    assert run(DatasetWriter(url), plan_shards(["x", "y"], made_by=2)) == ["00000-of-00002", "00001-of-00002"]


def test_a_smaller_plan_leaves_nothing_of_the_larger_one(tmp_path: Path) -> None:
    writer, smaller = DatasetWriter(absolute_url(str(tmp_path / "a"))), plan_shards(["x"], made_by=1)
    run(writer, plan_shards(["x", "y", "z"], made_by=1))
    run(writer, smaller)
    run(DatasetWriter(absolute_url(str(tmp_path / "b"))), smaller)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").write_bytes(b"precious")
    (tmp_path / "notes.txt").write_bytes(b"precious")
    run(DatasetWriter(absolute_url(str(tmp_path))), plan_shards(["x"], made_by=1))
    assert (tmp_path / "mine.parquet").read_bytes() == (tmp_path / "notes.txt").read_bytes() == b"precious"


def test_an_unfinished_dataset_is_refused(url: str) -> None:
    plan = plan_shards(["x", "y"], made_by=1)
    DatasetWriter(url).start(plan)
    DatasetWriter(url).publish(plan[0].name, plan[0].fingerprint, content(plan[0]))
    with pytest.raises(DatasetError, match=r"not a finished data set: expected .*_dataset\.json"):
        finished_shards(url)


def test_a_dataset_that_is_being_remade_is_unfinished(url: str) -> None:
    run(DatasetWriter(url), plan_shards(["x"], made_by=1))
    DatasetWriter(url).start(plan_shards(["y"], made_by=1))
    with pytest.raises(DatasetError, match="not a finished data set"):
        finished_shards(url)


def test_foreign_columns_are_refused(url: str) -> None:
    run(DatasetWriter(url), plan_shards(["x"], made_by=1))
    with pytest.raises(DatasetError, match=r"has columns \['id'\], expected those of the schema \['id', 'step'"):
        read_shard(url, "00000-of-00001", REJECT)


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def kill_after(count: int, real: Callable[..., None]) -> Callable[..., None]:
    left = [count]

    def put(*args: object) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        real(*args)

    return put


@settings(max_examples=40)
@given(kills=st.lists(st.integers(0, 13), max_size=4), changes=st.lists(st.booleans(), min_size=4, max_size=4))
def test_killed_anywhere_and_run_again_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], changes: list[bool]
) -> None:
    wanted = plan_shards(["w", "x", "y", "z"], made_by=1)
    other = plan_shards(["w", "o", "y"], made_by=1)
    base = tmp_path_factory.mktemp("kills")
    killed, whole = DatasetWriter(absolute_url(str(base / "killed"))), DatasetWriter(absolute_url(str(base / "whole")))
    for count, change in zip(kills, changes, strict=False):
        with patch.object(DatasetFiles, "put", kill_after(count, DatasetFiles.put)), suppress(Killed):
            run(killed, other if change else wanted)
    run(killed, wanted)
    run(whole, wanted)
    assert files(base / "killed") == files(base / "whole")


SLOW_JOB = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_writer import DatasetWriter, content, plan_shards, run
writer, plan = DatasetWriter(sys.argv[1]), plan_shards(list(range(2000)), made_by=1)
run(writer, plan)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_writes_is_finished_by_the_next(tmp_path: Path) -> None:
    plan = plan_shards(list(range(2000)), made_by=1)
    url, markers = absolute_url(str(tmp_path / "killed")), tmp_path / "killed" / "_shards"
    for rounds in range(1, 4):
        command = [sys.executable, "-c", SLOW_JOB, url, os.path.dirname(__file__)]
        process = subprocess.Popen(command)
        while not markers.exists() or len(os.listdir(markers)) < 60 * rounds:
            assert process.poll() is None, "the job ended before it could be killed"
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -9
    made_before = len(os.listdir(markers))
    assert 180 <= made_before < 2000
    assert len(run(DatasetWriter(url), plan)) == 2000 - made_before
    run(DatasetWriter(absolute_url(str(tmp_path / "whole"))), plan)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
