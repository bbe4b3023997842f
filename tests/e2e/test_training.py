"""Training on Ray Train and DeepSpeed: what it learns is what one plain process learns, killed or not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from opens2s_core.training.fit import TorchBackend, TrainConfig, fit

from data_pipeline.corpora.dialogues import Dialogues
from data_pipeline.dataset.samples import ShardedSamples
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings, merge_lora
from opens2s_core.models.opens2s import OpenS2S
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.export import export
from ray_jobs.init_model import init_model
from ray_jobs.prepare_data import prepare_data
from ray_jobs.recipes import WorkersConfig, smoke, smoke_lora
from ray_jobs.train import train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RUN = replace(smoke().train, steps=40, checkpoint_every=8)
JOB = """
import sys
from dataclasses import replace
from ray_jobs.cluster import connect
from ray_jobs.recipes import smoke
from ray_jobs.train import train
connect()
train(replace(smoke().train, steps=40, checkpoint_every=8), smoke().workers, *sys.argv[1:])
"""


@pytest.fixture(scope="module")
def workspace(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training")
    recipe = smoke()
    build_dialogues(recipe.dialogues, str(path / "dialogues"))
    init_model(recipe.scratch, str(path / "dialogues"), str(path / "start"))
    prepare_data(recipe.prepare, Dialogues(), str(path / "dialogues"), str(path / "start"), str(path / "samples"))
    return path


@pytest.fixture(scope="module")
def undisturbed(workspace: Path) -> dict[str, torch.Tensor]:
    """The weights of a run with ZeRO-2 on two workers that nothing happened to."""
    return weights(workspace, "undisturbed", RUN, WorkersConfig(count=2))


def weights(workspace: Path, run: str, config: TrainConfig, workers: WorkersConfig) -> dict[str, torch.Tensor]:
    metrics = train(config, workers, *(str(workspace / name) for name in ("samples", "start", run)))
    assert metrics["step"] == config.steps
    export(str(workspace / run), str(workspace / "start"), str(workspace / f"{run}-model"))
    model = load_opens2s(workspace / f"{run}-model" / OPENS2S)
    assert model.config.units_per_token == metrics["units_per_token"] > 0
    return model.state_dict()


def in_one_process(workspace: Path, config: TrainConfig) -> tuple[OpenS2S, list[float]]:
    """What one plain process learns, and its text losses."""
    model = load_opens2s(workspace / "start" / OPENS2S)
    vocabulary = read_vocabulary(workspace / "start" / OPENS2S)
    samples = ShardedSamples(str(workspace / "samples"))
    losses: list[float] = []
    fit(
        config,
        samples,
        vocabulary,
        TorchBackend(model, config),
        first_step=0,
        after_step=lambda report: losses.append(report.text_loss),
    )
    return model, losses


def test_two_zero_workers_learn_what_one_process_learns(workspace: Path, undisturbed: dict[str, torch.Tensor]) -> None:
    model, losses = in_one_process(workspace, RUN)
    assert losses[-1] < 0.9 * losses[0]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(undisturbed[name], value, atol=2e-4, rtol=2e-3, msg=name)


def test_lora_is_learned_alike_and_exported_merged(workspace: Path) -> None:
    run = replace(smoke_lora().train, steps=20, checkpoint_every=10)
    exported = weights(workspace, "lora", run, WorkersConfig(count=2))
    model, _ = in_one_process(workspace, run)
    merge_lora(model.thinker)
    start = load_opens2s(workspace / "start" / OPENS2S).state_dict()
    assert exported.keys() == start.keys()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(exported[name], value, atol=2e-4, rtol=2e-3, msg=name)
    learned = {name for name, value in start.items() if not torch.equal(value, exported[name])}
    in_llm = {name.split(".")[-2] for name in learned if name.startswith("thinker.llm_model.")}
    assert in_llm == set(LoraSettings().targets)
    assert any(name.startswith("speech_decoder.") for name in learned)


def test_an_opens2s_directory_alone_is_enough(workspace: Path, tmp_path: Path) -> None:
    model = shutil.copytree(workspace / "start" / OPENS2S, tmp_path / "model")
    run = replace(RUN, steps=1)
    assert (
        train(run, WorkersConfig(count=1), str(workspace / "samples"), str(model), str(tmp_path / "run"))["step"] == 1
    )


def test_a_killed_run_goes_on_to_the_same_weights(
    ray_local: str, workspace: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    paths = [str(workspace / name) for name in ("samples", "start", "killed")]
    driver = subprocess.Popen([sys.executable, "-c", JOB, *paths], env=os.environ | {"RAY_ADDRESS": ray_local})
    deadline = time.monotonic() + 200
    while not list((workspace / "killed").glob("checkpoint_*")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    resumed = weights(workspace, "killed", RUN, WorkersConfig(count=2))
    assert all(torch.equal(resumed[name], value) for name, value in undisturbed.items())


def test_a_finished_run_is_left_as_it_is(workspace: Path, undisturbed: dict[str, torch.Tensor]) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (workspace / "undisturbed").rglob("*")}

    before = files()
    again = weights(workspace, "undisturbed", RUN, WorkersConfig(count=2))
    assert all(torch.equal(again[name], value) for name, value in undisturbed.items())
    assert files() == before
