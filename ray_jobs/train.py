"""Train with Ray Train and DeepSpeed: ``python -m ray_jobs.train --recipe demo --data DIR --model DIR --output RUN``.

A run that was killed goes on from its last checkpoint when it is started again; a finished one is left as it is.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.experimental import tqdm_ray
from ray.train.torch import TorchTrainer

from data_pipeline.dataset import absolute_url, read_report
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from data_pipeline.report import merge_reports
from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.storage import absolute_directory
from opens2s_core.training.fit import StepReport, TrainConfig, fit
from ray_jobs.cluster import connect
from ray_jobs.mixtures import MIXTURES, named_mixture
from ray_jobs.recipes import RECIPES, WorkersConfig
from ray_jobs.runs import latest_checkpoint, run_storage

_BAR_STEPS = 5
"""Steps between two movements of the progress bar: each is a line in a log that is no terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """What every worker needs to know."""

    config: TrainConfig
    zero_stage: int
    data: Mixture
    model: str
    units_per_token: float | None  # of the data; stored with each checkpoint for what is exported of it


def train(
    config: TrainConfig, workers: WorkersConfig, data: str, model: str, output: str, mixture: str | None = None
) -> dict[str, Any]:
    """Train to ``config.steps`` and return the last metrics. ``output`` is the run's directory or URL.

    ``data`` is a data set or, with the name of a ``mixture``, the directory of its data sets.
    """
    finished = latest_checkpoint(output)
    if finished is not None and finished.metrics["step"] >= config.steps:
        return finished.metrics
    storage = run_storage(output)
    url = absolute_url(data)
    sources = Mixture(sources=(MixtureSource(data=url),)) if mixture is None else named_mixture(mixture, url)
    job = TrainJob(
        config=config,
        zero_stage=workers.zero_stage,
        data=sources,
        model=absolute_directory(model),
        units_per_token=merge_reports(read_report(source.data) for source in sources.sources).units_per_token,
    )
    # Ray waits for its own health checks at each report: the default of 2 s would dominate a short run.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    result = TorchTrainer(
        _train_worker,
        train_loop_config={"job": job},
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count, use_gpu=workers.use_gpu, resources_per_worker={"CPU": workers.cpus}
        ),
        run_config=ray.train.RunConfig(
            name=storage.name,
            storage_path=storage.path,
            storage_filesystem=storage.filesystem,
            failure_config=ray.train.FailureConfig(max_failures=3),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    ).fit()
    assert result.metrics is not None
    return result.metrics


def _train_worker(settings: dict[str, Any]) -> None:
    job: TrainJob = settings["job"]
    logging.getLogger("ray.train").setLevel(logging.WARNING)  # the bar says it shorter
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    from ray_jobs.deepspeed_backend import DeepSpeedBackend  # chooses its accelerator at import

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    opens2s = opens2s_directory(job.model)
    model = load_opens2s(opens2s, dtype=torch.float32).to(ray.train.torch.get_device())
    backend = DeepSpeedBackend(model, job.config, rank=rank, world=world, zero_stage=job.zero_stage)
    first_step = 0
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as directory:
            first_step = backend.load(Path(directory))
    samples = MixedSamples(job.data)
    known = {} if job.units_per_token is None else {"units_per_token": job.units_per_token}
    bar = tqdm_ray.tqdm(desc="training", total=job.config.steps, unit="step") if rank == 0 else None
    if bar and first_step:
        bar.update(first_step)

    def after_step(report: StepReport) -> None:
        metrics = _over_all_ranks(report) | known
        if bar and (report.step % _BAR_STEPS == 0 or report.step == job.config.steps):
            bar.set_description(f"training: text {metrics['text_loss']:.3f}, speech {metrics['speech_loss']:.3f}")
            bar.update((report.step - 1) % _BAR_STEPS + 1)
        if report.step % job.config.checkpoint_every == 0 or report.step == job.config.steps:
            with tempfile.TemporaryDirectory() as directory:
                backend.save(Path(directory), report.step)
                ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(directory))

    fit(job.config, samples, read_vocabulary(opens2s), backend, first_step=first_step, after_step=after_step)
    if bar:
        bar.close()


def _over_all_ranks(report: StepReport) -> dict[str, float]:
    shares = torch.tensor([report.text_loss, report.speech_loss], device=ray.train.torch.get_device())
    torch.distributed.all_reduce(shares)
    return {"step": report.step, "text_loss": float(shares[0]), "speech_loss": float(shares[1])}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.train", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--data", required=True, help="directory or URL of prepared samples (ray_jobs.prepare_data)")
    parser.add_argument(
        "--model", required=True, help="directory or URL to start from: a bundle, or an OpenS2S directory alone"
    )
    parser.add_argument("--output", required=True, help="directory or URL of the run and its checkpoints")
    parser.add_argument(
        "--mixture", choices=MIXTURES, help="named mixture of data sets, each in a directory of its name below --data"
    )
    args = parser.parse_args(argv)
    recipe = RECIPES[args.recipe]()
    connect()
    metrics = train(recipe.train, recipe.workers, args.data, args.model, args.output, args.mixture)
    print("trained: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
