"""Train a stage: ``python -m ray_jobs.train --recipe stage1a --data DIR --model DIR --output RUN``.

Ray Train runs the workers, DeepSpeed's ZeRO shares weights, gradients and optimizer among them.

A run that was killed goes on from its last checkpoint when it is started again, on any number of workers; a finished
one is left as it is. The trained model is RUN/export.
"""

import argparse
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

import ray
import ray.train
import torch
from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train.torch import TorchTrainer

from data_pipeline.dataset import absolute_url, read_report
from data_pipeline.dataset.index import INDEX
from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from data_pipeline.report import merge_reports
from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.checkpoint.files import weight_files
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.config import config_to_dict
from opens2s_core.storage import absolute_directory, digest, fetch_directory
from opens2s_core.training.guard import DivergedError
from opens2s_core.training.loader import SampleError, worker_lanes
from opens2s_core.training.loop import Progress
from opens2s_core.training.loop import train as train_run
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import Run, RunError, open_run
from opens2s_core.training.splits import hold_out
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.training.trained import write_trained
from ray_jobs.cluster import connect
from ray_jobs.mixtures import MIXTURES, named_mixture
from ray_jobs.torch_backend import NodeAddressTorchConfig
from ray_jobs.train_progress import TrainProgress, show_training
from ray_jobs.train_recipes import SIZES, STAGES, WorkersConfig, train_recipe

_RAY = "ray"
"""Folder of a run with the state of Ray Train. Checkpoints are ours: Ray's can be loaded by as many workers only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """What every worker needs to know."""

    config: TrainConfig
    zero_stage: int
    data: Mixture
    model: str
    run: Run
    units_per_token: float | None  # of the data; stored with what is exported


def train(
    config: TrainConfig, workers: WorkersConfig, data: str, model: str, output: str, mixture: str | None = None
) -> str:
    """Train to the last step; returns path or URL of the trained model. ``output`` is the run's directory or URL.

    ``data`` is a data set or, with the name of a ``mixture``, the directory of its data sets. Raises
    :class:`~opens2s_core.training.run.RunError` where ``output`` has a run of other settings, data or start.
    """
    url = absolute_url(data)
    sources = Mixture(sources=(MixtureSource(data=url),)) if mixture is None else named_mixture(mixture, url)
    model = absolute_directory(model)
    run = open_run(absolute_directory(output), _identity(config, sources, model))
    if run.is_finished():
        return run.export
    job = TrainJob(
        config=config,
        zero_stage=workers.zero_stage,
        data=sources,
        model=model,
        run=run,
        units_per_token=merge_reports(read_report(source.data) for source in sources.sources).units_per_token
        if "units" in config.stage.losses
        else None,
    )
    with show_training(config.stage.name, config.run.steps) as progress:
        failures = 0
        while not run.is_finished():
            done = run.checkpoints.steps()
            try:
                _trainer(job, workers, progress).fit()
            except ray.train.TrainingFailedError:
                if (failure := progress.failure()) is not None:
                    raise RunError(failure) from None
                failures = failures + 1 if run.checkpoints.steps() == done else 0
                if failures > _MAX_FAILURES:
                    raise
    for step, problem in run.read_skipped().items():
        warnings.warn(f"{config.stage.name}: step {step} was left out: {problem}", stacklevel=2)
    return run.export


def _trainer(job: TrainJob, workers: WorkersConfig, progress: TrainProgress) -> TorchTrainer:
    filesystem, path = url_to_fs(job.run.folder.url)
    return TorchTrainer(
        _train_worker,
        train_loop_config={"job": job, "progress": progress},
        torch_config=NodeAddressTorchConfig(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=_worker_count(workers),
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": workers.cpus},
        ),
        # Ray would try again after a loss of workers, but not after one that happens while workers start.
        run_config=ray.train.RunConfig(
            name=_RAY,
            storage_path=path,
            # The one of all other files of the run; Arrow's own needs other settings for an object store.
            storage_filesystem=PyFileSystem(FSSpecHandler(filesystem)),
            failure_config=ray.train.FailureConfig(max_failures=0),
        ),
    )


def _worker_count(workers: WorkersConfig) -> Any:
    """A number, or the least and the most for Ray Train to choose from."""
    return workers.count if workers.min_count is None else (workers.min_count, workers.count)


_MAX_FAILURES = 5
"""How often in a row workers may be lost without a new checkpoint before a job fails; started again, it goes on."""

_FINAL = (DivergedError, SampleError)
"""Errors that another attempt would repeat."""


def _identity(config: TrainConfig, data: Mixture, model: str) -> dict[str, Any]:
    """All that the result depends on; not the workers."""
    start = opens2s_directory(fetch_directory(model))
    files = [*weight_files(start), start / "config.json"]
    return {
        "config": config_to_dict(config),
        "data": [
            {
                "name": source.data.rpartition("/")[2],
                "index": sha256(DatasetFiles(source.data).read(INDEX)).hexdigest(),
                "weight": source.weight,
                "language": source.language,
            }
            for source in data.sources
        ],
        "model": sha256("".join(map(digest, sorted(files))).encode()).hexdigest(),
    }


def _train_worker(settings: dict[str, Any]) -> None:
    job: TrainJob = settings["job"]
    progress: TrainProgress = settings["progress"]
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    from ray_jobs.zero_engine import ZeroEngine  # chooses its accelerator at import

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    config, start = job.config, fetch_directory(job.model)
    opens2s = opens2s_directory(start)

    def build() -> Objective:
        model = load_opens2s(opens2s, dtype=getattr(torch, config.precision))
        objective = Objective(model, config.stage, seed=config.plan.seed)
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
        read_vocabulary(opens2s),
        held_out=held_out,
        export=partial(write_trained, job.run, start, config.stage, config.plan.seed, job.units_per_token),
    )

    def on_step(done: Progress) -> None:
        if rank == 0:
            progress.update(done)

    try:
        train_run(task, config.run, job.run, on_step=on_step)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()  # its threads would abort the process at exit
    except _FINAL as error:
        progress.fail(error)
        raise
    finally:
        task.close()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", required=True, choices=STAGES, help="training stage")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="of model and machines (%(default)s)")
    parser.add_argument("--data", required=True, help="directory or URL of prepared samples (ray_jobs.prepare_data)")
    parser.add_argument(
        "--mixture", choices=MIXTURES, help="named mixture of data sets, each in a directory of its name below --data"
    )
    parser.add_argument(
        "--model", required=True, help="directory or URL to start from: a bundle, or an OpenS2S directory alone"
    )
    parser.add_argument("--output", required=True, help="directory or URL of the run")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    parser.add_argument("--workers", type=int, help="instead of the recipe's")
    parser.add_argument("--zero-stage", type=int, choices=range(4), help="instead of the recipe's")
    args = parser.parse_args(argv)
    recipe = train_recipe(args.recipe, args.size)
    config, workers = recipe.train, recipe.workers
    if args.steps is not None:
        config = replace(config, run=replace(config.run, steps=args.steps))
    if args.learning_rate is not None:
        config = replace(config, learning_rate=args.learning_rate)
    if args.workers is not None:
        workers = replace(workers, count=args.workers, min_count=None)
    if args.zero_stage is not None:
        workers = replace(workers, zero_stage=args.zero_stage)
    connect(quiet=True)
    try:
        export = train(config, workers, args.data, args.model, args.output, args.mixture)
    except (ValueError, OSError) as error:  # what is wrong with the given directories
        raise SystemExit(f"python -m ray_jobs.train: {error}") from error
    print(f"the trained model is at {export}")


if __name__ == "__main__":
    main()
