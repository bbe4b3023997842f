"""Every job, submitted as people submit it, one after the other on one cluster, with all they share on S3."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import s3fs

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.storage import fetch_directory
from tests.conftest import Cluster

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def submit(cluster: Cluster, *job: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", str(ROOT), "--"]
    return subprocess.run(
        [*command, "python", "-m", *job], env=cluster.environment, capture_output=True, text=True, timeout=500, cwd=ROOT
    )


@pytest.fixture(scope="module")
def workspace(cluster: Cluster) -> str:
    """The URL under which all jobs of the smoke recipe have run, from nothing to a bundle."""
    url = f"s3://bucket/{uuid.uuid4().hex}"
    dialogues, start, samples, run = (f"{url}/{n}" for n in ("dialogues", "start", "samples", "run"))
    recipe = ("--recipe", "smoke")
    for job in (
        ("ray_jobs.build_dialogues", *recipe, "--output", dialogues),
        ("ray_jobs.init_model", *recipe, "--texts", f"instructions:{dialogues}", "--output", start),
        (
            "ray_jobs.prepare_data",
            *recipe,
            *("--corpus", "instructions", "--root", dialogues),
            *("--model", start, "--output", samples),
        ),
        ("ray_jobs.train", *recipe, "--data", samples, "--model", start, "--output", run),
        ("ray_jobs.export", "run", "--run", run, "--model", start, "--output", f"{url}/again"),
        ("ray_jobs.export", "publish", "--model", f"{run}/export", "--output", f"{url}/published"),
    ):
        done = submit(cluster, *job)
        assert done.returncode == 0, f"{job}\n{done.stdout}\n{done.stderr}"
    return url


def test_the_jobs_lead_from_nothing_to_a_trained_bundle(workspace: str) -> None:
    start, trained = (
        load_opens2s(fetch_directory(f"{workspace}/{name}") / OPENS2S).state_dict() for name in ("start", "run/export")
    )
    assert start.keys() == trained.keys()
    changed = [name for name in start if not start[name].equal(trained[name])]
    assert "thinker.llm_model.model.layers.0.mlp.up_proj.weight" in changed
    assert "speech_decoder.llm2tts.weight" in changed
    assert "thinker.audio_encoder_model.embed_positions.weight" not in changed


def test_a_run_is_exported_and_published_with_the_same_weights(workspace: str) -> None:
    trained, again, published = (
        load_opens2s(fetch_directory(f"{workspace}/{name}") / OPENS2S).state_dict()
        for name in ("run/export", "again", "published")
    )
    assert trained.keys() == again.keys() == published.keys()
    assert all(value.equal(again[name]) and value.equal(published[name]) for name, value in trained.items())


def test_no_row_was_lost_on_the_way(workspace: str) -> None:
    # Each turn is learned from its sound and from its words.
    for dataset, samples in (("dialogues/dialogues", 0), ("samples", 16)):
        report = json.loads(s3fs.S3FileSystem().cat_file(f"{workspace}/{dataset}/_dataset.json"))["report"]
        assert (report["rows_in"], report["rows_out"], report["samples"]) == (8, 8, samples)


def test_a_job_that_fails_says_so_with_its_exit_code(cluster: Cluster, tmp_path: Path) -> None:
    done = submit(
        cluster, "ray_jobs.export", "run", "--run", str(tmp_path), "--model", "m", "--output", str(tmp_path / "o")
    )
    assert done.returncode != 0
    assert "expected a training run of a stage of OpenS2S" in done.stdout + done.stderr
