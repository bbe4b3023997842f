"""What each worker of a training run does.

A module of its own: a function of a program that is started with ``-m`` would be sent with all that it refers to.
"""

import os
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray.train
import ray.train.torch
import torch

from data_pipeline.dataset.mixture import MixedSamples, Mixture
from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.storage import fetch_directory
from opens2s_core.training.loader import worker_lanes
from opens2s_core.training.loop import Progress, train
from opens2s_core.training.objective import Objective
from opens2s_core.training.splits import hold_out
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.training.teacher import load_teacher
from opens2s_core.training.trained import StageRun
from ray_jobs.attempts import final_errors
from ray_jobs.train_progress import TrainProgress


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """What every worker needs to know."""

    config: TrainConfig
    zero_stage: int
    data: Mixture
    model: str
    teacher: str | None
    run: StageRun
    wandb: bool


def train_worker(settings: dict[str, Any]) -> None:
    """Train on this rank; ``settings`` has ``job``, a :class:`TrainJob`, and ``progress``."""
    progress: TrainProgress = settings["progress"]
    with final_errors(progress):
        _train(settings["job"], progress)


def _train(job: TrainJob, progress: TrainProgress) -> None:
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    from ray_jobs.zero_engine import ZeroEngine  # chooses its accelerator at import

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    config, start = job.config, fetch_directory(job.model)
    opens2s = opens2s_directory(start)
    vocabulary, dtype = read_vocabulary(opens2s), getattr(torch, config.precision)
    teacher = None if job.teacher is None else load_teacher(job.teacher, vocabulary.tokenizer, dtype)

    def build() -> Objective:
        model = load_opens2s(opens2s, dtype=dtype)
        objective = Objective(model, config.stage, seed=config.plan.seed, teacher=teacher)
        if config.activation_checkpointing:
            objective.checkpoint_activations()
        return objective

    engine = ZeroEngine(
        build,
        stage=job.zero_stage,
        rank=rank,
        world=world,
        micro_batches=worker_lanes(config.plan, world),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        precision=config.precision,
        device=ray.train.torch.get_device(),
    )
    samples, held_out = hold_out(MixedSamples(job.data), config.held_out, config.plan.seed)
    task = OpenS2STask(
        engine,
        config,
        samples,
        vocabulary,
        held_out=held_out,
        export=partial(job.run.export, start),
    )

    def on_step(done: Progress) -> None:
        if rank == 0:
            progress.update(done)

    with closing(task):
        train(task, config.run, job.run.run, on_step=on_step, wandb=job.wandb)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()  # its threads would abort the process at exit
