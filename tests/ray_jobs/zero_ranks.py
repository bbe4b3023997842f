"""Training with ZeRO on any number of processes of this machine, for the tests."""

import copy
import multiprocessing
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import cloudpickle
from torch.multiprocessing import start_processes

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.training.engine import TorchEngine
from opens2s_core.training.loader import worker_lanes
from opens2s_core.training.loop import train
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import open_run
from opens2s_core.training.task import OpenS2STask, TrainConfig
from tests.opens2s_core.training.samples import ListedSamples
from tests.opens2s_core.training.test_task import known_samples

_TIMEOUT = timedelta(seconds=60)
"""After it the ranks give up one that has failed."""

Metrics = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What is trained, from ``bundle``; ``zero`` is the stage of ZeRO, None for one plain process."""

    bundle: Path
    config: TrainConfig
    zero: int | None

    def engine(self, rank: int, world: int) -> Any:
        start = load_opens2s(self.bundle / OPENS2S, dtype=getattr(torch, self.config.precision))
        config = self.config

        def build() -> Objective:
            return Objective(copy.deepcopy(start), config.stage, seed=config.plan.seed)

        settings: dict[str, Any] = {
            "weight_decay": config.weight_decay,
            "max_grad_norm": config.max_grad_norm,
            "precision": config.precision,
        }
        if self.zero is None:
            return TorchEngine(build(), **settings)
        from ray_jobs.zero_engine import ZeroEngine  # chooses its accelerator at import

        return ZeroEngine(
            build,
            stage=self.zero,
            rank=rank,
            world=world,
            micro_batches=worker_lanes(config.plan, world),
            device=torch.device("cpu"),
            **settings,
        )

    @contextmanager
    def task(self, rank: int = 0, world: int = 1) -> Iterator[OpenS2STask]:
        engine = self.engine(rank, world)
        vocabulary = read_vocabulary(self.bundle / OPENS2S)
        samples = ListedSamples(known_samples(vocabulary), engine.objective.model.config)
        with closing(OpenS2STask(engine, self.config, samples, vocabulary)) as task:
            yield task

    def train(self, directory: Path, until: int, rank: int = 0, world: int = 1) -> Metrics:
        """Train up to step ``until``; the metrics of the steps that this call did."""
        metrics: Metrics = []
        steps = replace(self.config.run, steps=until)
        with self.task(rank, world) as task:
            train(task, steps, open_run(directory, {}), on_step=lambda done: metrics.append(dict(done.metrics)))
        return metrics

    def resume(self, directory: Path, until: int) -> Metrics:
        """Train on to step ``until`` a run that was finished after fewer."""
        shutil.rmtree(open_run(directory, {}).export, ignore_errors=True)
        return self.train(directory, until)

    def resume_on(self, world: int, directory: Path, until: int) -> Metrics:
        """The same with ``world`` processes."""
        shutil.rmtree(open_run(directory, {}).export, ignore_errors=True)
        return on_ranks(world, _train, self, directory, until)[0]


def state_of(directory: Path) -> dict[str, torch.Tensor]:
    """The last checkpoint."""
    checkpoint = open_run(directory, {}).checkpoints.latest()
    assert checkpoint is not None
    with checkpoint.open() as tensors:
        return {name: tensor.read() for name, tensor in tensors.items()}


def _train(rank: int, world: int, training: Training, directory: Path, until: int) -> Metrics:
    return training.train(directory, until, rank, world)


def on_ranks(world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """``function(rank, world, *args)`` of each rank. The ranks are processes with a process group over the loopback."""
    multiprocessing.set_forkserver_preload([__name__, "ray_jobs.zero_engine"])  # importing takes longer than training
    with tempfile.TemporaryDirectory() as directory, cpu_environment():
        call = cloudpickle.dumps((function, args))
        start_processes(_rank, (world, Path(directory), call), world, start_method="forkserver")
        return [pickle.loads((Path(directory) / f"result-{rank}").read_bytes()) for rank in range(world)]


def _rank(rank: int, world: int, directory: Path, call: bytes) -> None:
    function, args = cloudpickle.loads(call)
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(directory / "store"), world)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=_TIMEOUT)
    try:
        result = function(rank, world, *args)
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()  # its threads would abort the process at exit
    (directory / f"result-{rank}").write_bytes(pickle.dumps(result))


@contextmanager
def cpu_environment() -> Iterator[None]:
    """What DeepSpeed reads at import and where it is not started by its own launcher."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DS_ACCELERATOR", "cpu")
        patched.setenv("LOCAL_RANK", "0")
        patched.setenv("GLOO_SOCKET_IFNAME", "lo")
        yield


@contextmanager
def alone() -> Iterator[None]:
    """This process is the only rank."""
    with cpu_environment():
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()
