import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_pipeline.dataset import DatasetWriter, absolute_url
from data_pipeline.synthesis.dialogues import DialogueConfig, make_dialogues, plan_dialogues
from data_pipeline.synthesis.voices import EspeakSpeaker
from data_pipeline.synthesis.writers import ClosedDomainWriter
from ray_jobs.build_dialogues import build_dialogues, main

pytestmark = pytest.mark.ray

JOB = """
import sys
from data_pipeline.synthesis.dialogues import DialogueConfig
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.cluster import connect
connect()
build_dialogues(DialogueConfig(turns=240, shard_turns=2), sys.argv[1])
"""


def files(directory: Path) -> dict[str, bytes]:
    """All but temporary files, which a killed job leaves for an hour."""
    found = (path for path in directory.rglob("*") if path.is_file() and "_tmp" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def times(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


def make_all(config: DialogueConfig, directory: Path) -> None:
    """The same dataset made here, one shard after the other."""
    writer, plan = DatasetWriter(absolute_url(str(directory))), plan_dialogues(config, ClosedDomainWriter())
    for shard in writer.start(plan):
        writer.publish(shard.name, shard.fingerprint, make_dialogues(shard.inputs, speaker=EspeakSpeaker()))
    writer.finish([shard.name for shard in plan])


def test_a_corpus_is_built_once(ray_local: str, tmp_path: Path) -> None:
    config = DialogueConfig(turns=10, shard_turns=4)
    report = build_dialogues(config, str(tmp_path))
    rows = [row for path in sorted(tmp_path.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["id"] for row in rows] == [f"turn-{index:06d}" for index in range(10)]
    assert [row["user_text"] for row in rows] == [exchange.user_text for exchange in ClosedDomainWriter().write(10, 0)]
    assert (report.rows_in, report.rows_out, sum(report.durations)) == (10, 10, 20)
    assert 30 < report.audio_seconds < 90
    before = times(tmp_path)
    assert build_dialogues(config, str(tmp_path)) == report
    assert times(tmp_path) == before


@pytest.mark.slow
def test_a_killed_job_is_finished_by_the_next(ray_local: str, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    markers = killed / "_shards"
    job = subprocess.Popen([sys.executable, "-c", JOB, str(killed)], env=os.environ | {"RAY_ADDRESS": ray_local})
    while not markers.exists() or len(os.listdir(markers)) < 10:
        assert job.poll() is None, "the job ended before it could be killed"
        time.sleep(0.01)
    job.kill()
    assert job.wait() == -9
    before = {path.name: path.stat().st_mtime_ns for path in sorted(markers.iterdir())}
    assert 10 <= len(before) < 120
    config = DialogueConfig(turns=240, shard_turns=2)
    assert build_dialogues(config, str(killed)).rows_out == 240
    kept = {path.name: path.stat().st_mtime_ns for path in markers.iterdir() if path.name in before}
    assert kept == before
    make_all(config, whole)
    assert files(killed) == files(whole)


def test_the_job_takes_its_recipe_and_a_number_of_turns(
    ray_local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--recipe", "smoke", "--output", str(tmp_path), "--turns", "3"])
    assert "3 in, 3 prepared, 0 rejected" in capsys.readouterr().out
    assert len(pq.read_table(sorted(tmp_path.glob("*.parquet")))) == 3


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--recipe", "nonesuch", "--output", str(tmp_path)])
