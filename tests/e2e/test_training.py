"""Training on Ray Train and DeepSpeed: what it learns is what one plain process learns, killed or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from ray.cluster_utils import Cluster as Nodes

from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings
from opens2s_core.storage import fetch_directory
from opens2s_core.training.engine import TorchEngine
from opens2s_core.training.guard import GuardConfig
from opens2s_core.training.loop import train as train_run
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import RunError, open_run
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.training.trained import StageRun
from ray_jobs import dialogue_recipes
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.init_model import init_model
from ray_jobs.prepare_data import prepare_data
from ray_jobs.recipes import smoke, smoke_lora
from ray_jobs.train import train
from ray_jobs.train_recipes import WorkersConfig
from tests.conftest import end
from tests.e2e.two_addresses import two_addresses

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
RUN = replace(smoke().train, run=replace(smoke().train.run, steps=40, checkpoint_every=8))
JOB = """
import sys
from ray_jobs.cluster import connect
from ray_jobs.train import train
from ray_jobs.train_recipes import WorkersConfig
from tests.e2e.test_training import RUN
connect(quiet=True)
least, most = map(int, sys.argv[1:3])
train(RUN, WorkersConfig(count=most, min_count=least if least < most else None), *sys.argv[3:])
"""


@pytest.fixture(scope="module")
def workspace(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training")
    recipe = smoke()
    build_dialogues(dialogue_recipes.smoke(), str(path / "dialogues"))
    init_model(recipe.scratch, [f"instructions:{path / 'dialogues'}"], str(path / "start"))
    prepare_data(recipe.prepare, Instructions(), str(path / "dialogues"), str(path / "start"), str(path / "samples"))
    return path


@pytest.fixture(scope="module")
def undisturbed(workspace: Path) -> Path:
    """A run with ZeRO-2 on two workers to which nothing happened."""
    train_in(workspace, "undisturbed", RUN, WorkersConfig(count=2))
    return workspace / "undisturbed"


def train_in(workspace: Path, run: str, config: TrainConfig, workers: WorkersConfig) -> None:
    train(config, workers, *(str(workspace / name) for name in ("samples", "start", run)))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_opens2s(run / "export" / OPENS2S).state_dict()


def losses(run: Path) -> list[float]:
    """The loss of each step; each step is there once, in order."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def train_in_one_process(workspace: Path, config: TrainConfig, directory: Path) -> Path:
    """The same run without Ray and DeepSpeed."""
    start, run = workspace / "start", open_run(directory, {})
    objective = Objective(load_opens2s(start / OPENS2S), config.stage, seed=config.plan.seed)
    trained = StageRun(run=run, stage=config.stage, seed=config.plan.seed, units_per_token=None)
    task = OpenS2STask(
        TorchEngine(objective, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm),
        config,
        MixedSamples(Mixture(sources=(MixtureSource(data=str(workspace / "samples")),))),
        read_vocabulary(start / OPENS2S),
        export=partial(trained.export, start),
    )
    with closing(task):
        train_run(task, config.run, run)
    return directory


def assert_learned_alike(run: Path, other: Path) -> None:
    """The same up to the order of float32 sums."""
    np.testing.assert_allclose(losses(run), losses(other), rtol=1e-3)
    expected = weights(other)
    for name, value in weights(run).items():
        torch.testing.assert_close(value, expected[name], atol=2e-4, rtol=2e-3, msg=name)


def assert_same_bits(run: Path, other: Path) -> None:
    assert losses(run) == losses(other)
    expected = weights(other)
    assert all(torch.equal(value, expected[name]) for name, value in weights(run).items())


@contextmanager
def started(
    workspace: Path, run: str, address: str, *, least: int = 2, most: int = 2, inside: Sequence[str] = ()
) -> Iterator[Any]:
    """A process that trains, when it has written a checkpoint. ``inside`` is a command that runs others."""
    paths = [str(workspace / name) for name in ("samples", "start", run)]
    before = checkpoints(workspace / run)
    command = [*inside, sys.executable, "-c", JOB, str(least), str(most), *paths]
    driver = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"RAY_ADDRESS": address}, start_new_session=True)
    try:
        wait_until(lambda: bool(checkpoints(workspace / run) - before), driver)
        yield driver
    finally:
        end(driver)


def checkpoints(run: Path) -> set[str]:
    return {path.parent.name for path in run.glob("checkpoints/*/checkpoint.json")}


def wait_until(happened: Callable[[], bool], driver: "subprocess.Popen[bytes]", seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert driver.poll() is None, f"the job ended with {driver.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_zero_workers_learn_what_one_process_learns(workspace: Path, undisturbed: Path, tmp_path: Path) -> None:
    alone = train_in_one_process(workspace, RUN, tmp_path)
    assert losses(alone)[-1] < 0.9 * losses(alone)[0]
    assert_learned_alike(undisturbed, alone)
    model = load_opens2s(undisturbed / "export" / OPENS2S)
    assert model.config.units_per_token is not None
    assert model.config.units_per_token > 0


def test_lora_is_learned_alike_and_exported_merged(workspace: Path, tmp_path: Path) -> None:
    config = replace(smoke_lora().train, run=replace(RUN.run, steps=16))
    train_in(workspace, "lora", config, WorkersConfig(count=2, zero_stage=3))
    assert_learned_alike(workspace / "lora", train_in_one_process(workspace, config, tmp_path))
    exported, start = weights(workspace / "lora"), load_opens2s(workspace / "start" / OPENS2S).state_dict()
    assert exported.keys() == start.keys()
    learned = {name for name, value in start.items() if not torch.equal(value, exported[name])}
    in_llm = {name.split(".")[-2] for name in learned if name.startswith("thinker.llm_model.")}
    assert in_llm == set(LoraSettings().targets)
    assert any(name.startswith("speech_decoder.") for name in learned)


def test_an_opens2s_directory_alone_is_enough(workspace: Path, tmp_path: Path) -> None:
    model = shutil.copytree(workspace / "start" / OPENS2S, tmp_path / "model")
    config = replace(RUN, run=replace(RUN.run, steps=1))
    workers = WorkersConfig(count=1, zero_stage=0)
    export = train(config, workers, str(workspace / "samples"), str(model), str(tmp_path / "run"))
    assert load_opens2s(Path(export)).state_dict().keys() == load_opens2s(model).state_dict().keys()


def test_a_job_that_is_killed_resumes_to_the_same_bits(ray_local: str, workspace: Path, undisturbed: Path) -> None:
    with started(workspace, "killed", ray_local) as driver:
        driver.send_signal(signal.SIGKILL)
    train_in(workspace, "killed", RUN, WorkersConfig(count=2))
    assert_same_bits(workspace / "killed", undisturbed)


def test_a_job_whose_worker_is_killed_goes_on_to_the_same_bits(
    ray_local: str, workspace: Path, undisturbed: Path
) -> None:
    with started(workspace, "worker", ray_local) as driver:
        train_workers()[0].kill()
        assert driver.wait(timeout=240) == 0
    assert_same_bits(workspace / "worker", undisturbed)


def train_workers() -> list[psutil.Process]:
    """Workers of Ray Train that this process and its children have started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def test_a_run_resumes_on_other_numbers_of_workers(ray_local: str, workspace: Path, undisturbed: Path) -> None:
    for count in (2, 1):
        with started(workspace, "resized", ray_local, least=count, most=count) as driver:
            driver.send_signal(signal.SIGKILL)
    train_in(workspace, "resized", RUN, WorkersConfig(count=2))
    assert_learned_alike(workspace / "resized", undisturbed)


@pytest.fixture
def two_nodes() -> Iterator[Nodes]:
    """Each has one CPU, so that each has one worker."""
    node = {"num_cpus": 1, "object_store_memory": 128 * 2**20}
    nodes = Nodes(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    nodes.add_node(**node)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


def test_a_job_goes_on_without_a_node_that_is_lost(two_nodes: Nodes, workspace: Path, undisturbed: Path) -> None:
    with started(workspace, "node", two_nodes.address, least=1) as driver:
        lost = next(node for node in two_nodes.list_all_nodes() if not node.head)
        two_nodes.remove_node(lost, allow_graceful=False)
        assert driver.wait(timeout=240) == 0
    assert_learned_alike(workspace / "node", undisturbed)


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.skipif(shutil.which("ip") is None, reason="network namespaces need the command ip")
def test_two_machines_train_together_and_one_goes_on_without_the_other(workspace: Path, undisturbed: Path) -> None:
    with (
        two_addresses(num_cpus=1) as nodes,
        started(workspace, "addresses", nodes.address, least=1, inside=nodes.inside_first) as driver,
    ):
        nodes.cut()
        assert driver.wait(timeout=300) == 0
    assert_learned_alike(workspace / "addresses", undisturbed)


def test_a_finished_run_is_left_as_it_is(workspace: Path, undisturbed: Path) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}

    before = files()
    train_in(workspace, "undisturbed", RUN, WorkersConfig(count=1))
    assert files() == before


def test_another_run_in_the_same_directory_is_refused(workspace: Path, undisturbed: Path, tmp_path: Path) -> None:
    samples, start = workspace / "samples", workspace / "start"
    init_model(replace(smoke().scratch, seed=1), [f"instructions:{workspace / 'dialogues'}"], str(tmp_path / "start"))
    shutil.copytree(samples, tmp_path / "others")
    seeded = replace(RUN, plan=replace(RUN.plan, seed=1))
    faster = replace(RUN, learning_rate=2 * RUN.learning_rate)
    for config, data, model, difference in (
        (faster, samples, start, r"config.learning_rate was 0.001, is 0.002$"),
        (seeded, samples, start, r"config.plan.seed was 0, is 1$"),
        (RUN, tmp_path / "others", start, r"data\[0\].name was 'samples', is 'others'$"),
        (RUN, samples, tmp_path / "start", r"other settings: model was '\w+', is '\w+'$"),
    ):
        with pytest.raises(RunError, match=difference):
            train(config, WorkersConfig(count=2), str(data), str(model), str(undisturbed))


def test_a_run_that_diverges_ends_with_the_step_and_is_not_tried_again(workspace: Path, tmp_path: Path) -> None:
    guard = GuardConfig(spike_factor=1.001, spike_window=1)
    config = replace(RUN, learning_rate=10.0, run=replace(RUN.run, guard=guard))
    with pytest.raises(RunError, match=r"joint: step \d+: expected a loss of at most 1.001 x the median"):
        train(
            config,
            WorkersConfig(count=2),
            *(str(path) for path in (workspace / "samples", workspace / "start", tmp_path)),
        )


def test_a_run_on_s3_learns_the_same(ray_local: str, workspace: Path, undisturbed: Path) -> None:
    url = f"s3://bucket/{workspace.name}/run"
    samples, start = (str(workspace / name) for name in ("samples", "start"))
    assert train(RUN, WorkersConfig(count=2), samples, start, url) == f"{url}/export"
    model = load_opens2s(fetch_directory(f"{url}/export") / OPENS2S).state_dict()
    assert all(torch.equal(value, model[name]) for name, value in weights(undisturbed).items())
