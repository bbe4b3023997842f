"""Train a stage: ``python -m ray_jobs.train --recipe stage1a --data DIR --init DIR --output RUN``.

Ray Train runs the workers, DeepSpeed's ZeRO shares weights, gradients and optimizer among them.

A run that was killed goes on from its last checkpoint when it is started again, on any number of workers; a finished
one is left as it is. The trained model is RUN/export, its replies to held-out samples are in RUN/samples.

Fine-tune a published model on conversations of your own: ``--recipe finetune --init DIR --data mine.jsonl``. Make a
voice: ``--recipe voice --data CORPUS``, or one of its stages.
"""

import argparse
import warnings
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import ray
import ray.train
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train.torch import TorchTrainer

from data_pipeline.dataset import absolute_url, read_report
from data_pipeline.dataset.index import INDEX
from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.dataset.mixture import Mixture, MixtureSource
from data_pipeline.preparation.transcription import transcription_prompt
from data_pipeline.report import merge_reports
from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.checkpoint.files import weight_files
from opens2s_core.config import ConfigError, config_to_dict
from opens2s_core.storage import absolute_directory, digest, fetch_directory
from opens2s_core.training.run import open_run
from opens2s_core.training.task import TrainConfig
from opens2s_core.training.teacher import teacher_directory
from opens2s_core.training.trained import StageRun
from opens2s_core.training.voice.make import STAGES as PARTS
from ray_jobs.attempts import fit_until_done
from ray_jobs.cluster import connect
from ray_jobs.finetune import fit_to_data
from ray_jobs.mixtures import named_mixture
from ray_jobs.torch_backend import NodeAddressTorchConfig
from ray_jobs.train_options import add_arguments, chosen_recipe, chosen_voice
from ray_jobs.train_plan import describe_plan
from ray_jobs.train_progress import TrainProgress, show_training
from ray_jobs.train_recipes import FINETUNE, WorkersConfig
from ray_jobs.train_samples import write_samples
from ray_jobs.train_worker import TrainJob, train_worker
from ray_jobs.voice import VOICE_STAGES, VoiceRecipe, train_voice

_RAY = "ray"
"""Folder of a run with the state of Ray Train. Checkpoints are ours: Ray's can be loaded by as many workers only."""


def train(
    config: TrainConfig,
    workers: WorkersConfig,
    data: str,
    model: str,
    output: str,
    mixture: str | None = None,
    teacher: str | None = None,
    *,
    wandb: bool = False,
) -> str:
    """Train to the last step; returns path or URL of the trained model. ``output`` is the run's directory or URL.

    ``data`` is a data set or, with the name of a ``mixture``, the directory of its data sets. ``teacher`` is the LLM of
    a stage with an external teacher, see :func:`~opens2s_core.training.teacher.load_teacher`. With ``wandb`` the
    metrics go to Weights & Biases too. Raises :class:`~opens2s_core.training.run.RunError` where ``output`` has a run
    of other settings, data or start.
    """
    sources = _mixture(data, mixture)
    model = absolute_directory(model)
    units_per_token = None
    if "units" in config.stage.losses:
        units_per_token = merge_reports(read_report(source.data) for source in sources.sources).units_per_token
    identity = _identity(config, sources, model) | {"units_per_token": units_per_token}
    prompt = None
    if config.stage.learns_from_clips:
        prompt = transcription_prompt(source.data for source in sources.sources)
    if prompt is not None:  # runs of earlier versions have no such key
        identity["transcription_prompt"] = prompt
    if teacher is not None:
        teacher = absolute_directory(teacher)
        identity["teacher"] = _weights_digest(teacher_directory(teacher))
    run = open_run(absolute_directory(output), identity)
    if run.is_finished():
        write_samples(config, sources, run, use_gpu=workers.use_gpu)
        return run.export
    job = TrainJob(
        config=config,
        zero_stage=workers.zero_stage,
        data=sources,
        model=model,
        teacher=teacher,
        run=StageRun(
            run=run,
            stage=config.stage,
            seed=config.plan.seed,
            units_per_token=units_per_token,
            transcription_prompt=prompt,
        ),
        wandb=wandb,
    )
    with run.for_one_job(), show_training(config.stage.name, config.run.steps) as progress:
        fit_until_done(lambda: _trainer(job, workers, progress), progress, run.checkpoints.steps)
    for step, problem in run.read_skipped().items():
        warnings.warn(f"{config.stage.name}: step {step} was left out: {problem}", stacklevel=2)
    write_samples(config, sources, run, use_gpu=workers.use_gpu)
    return run.export


def _mixture(data: str, name: str | None) -> Mixture:
    url = absolute_url(data)
    return Mixture(sources=(MixtureSource(data=url),)) if name is None else named_mixture(name, url)


def _trainer(job: TrainJob, workers: WorkersConfig, progress: TrainProgress) -> TorchTrainer:
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job, "progress": progress},
        torch_config=NodeAddressTorchConfig(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=_worker_count(workers),
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": workers.cpus},
        ),
        run_config=ray.train.RunConfig(
            name=_RAY,
            **_ray_storage(job.run.run.folder.url),
            failure_config=ray.train.FailureConfig(max_failures=0),
        ),
    )


def _worker_count(workers: WorkersConfig) -> Any:
    """A number, or the least and the most for Ray Train to choose from."""
    return workers.count if workers.min_count is None else (workers.min_count, workers.count)


def _ray_storage(url: str) -> dict[str, Any]:
    """For S3 the same client and the same settings (endpoint, credentials) as for data sets."""
    filesystem, path = url_to_fs(url)
    if isinstance(filesystem, LocalFileSystem):
        return {"storage_path": path}
    return {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(filesystem))}


def _identity(config: TrainConfig, data: Mixture, model: str) -> dict[str, Any]:
    """All that the result depends on; not the workers."""
    settings = config_to_dict(config)
    for name in ("guard", "retention"):  # a run that diverged may be resumed with another policy
        del settings["run"][name]
    return {
        "config": settings,
        "data": [
            {
                "name": source.data.rpartition("/")[2],
                "index": sha256(DatasetFiles(source.data).read(INDEX)).hexdigest(),
                "weight": source.weight,
                "language": source.language,
            }
            for source in data.sources
        ],
        "model": _weights_digest(opens2s_directory(fetch_directory(model))),
    }


def _weights_digest(directory: Path) -> str:
    files = [*weight_files(directory), directory / "config.json"]
    return sha256("".join(map(digest, sorted(files))).encode()).hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        chosen = chosen_voice(args) if args.recipe in VOICE_STAGES else chosen_recipe(args)
    except ConfigError as error:
        parser.error(str(error))
    try:
        if args.plan and not isinstance(chosen, VoiceRecipe):
            mixture = None if args.data is None else _mixture(args.data, args.mixture)
            print(describe_plan(chosen.train, chosen.workers, args.model, mixture, args.teacher))
            return
        connect(quiet=True)
        if isinstance(chosen, VoiceRecipe):
            print(_voice_at(train_voice(chosen, args.data, args.output, start=args.model)))
            return
        config, data = chosen.train, args.data
        if args.recipe == FINETUNE.name and args.mixture is None:
            config, data = fit_to_data(config, data, args.model, args.output)
        paths = (data, args.model, args.output, args.mixture, args.teacher)
        export = train(config, chosen.workers, *paths, wandb=args.wandb)
    except (ValueError, OSError) as error:  # what is wrong with the given directories
        raise SystemExit(f"python -m ray_jobs.train: {error}") from error
    print(f"the trained model is at {export}")


def _voice_at(voice: Path | None) -> str:
    return f"a trained voice is at {voice}" if voice else f"finished; a voice needs the stages {', '.join(PARTS)}"


if __name__ == "__main__":
    main()
