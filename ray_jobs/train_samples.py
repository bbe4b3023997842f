"""Held-out samples decoded at the end of a run: RUN/samples has the replies as text and audio."""

import itertools

import ray

from data_pipeline.dataset.mixture import MixedSamples, Mixture
from opens2s_core.storage import fetch_directory, is_published, new_directory
from opens2s_core.training.run import Run
from opens2s_core.training.splits import hold_out
from opens2s_core.training.task import TrainConfig
from ray_jobs.held_out_replies import write_replies

SAMPLES = "samples"
_COUNT = 4


def write_samples(config: TrainConfig, data: Mixture, run: Run, *, use_gpu: bool) -> None:
    """Reply to the first held-out samples with the export of a finished ``run``, unless that is done or none are held
    out. Stages that train on units alone speak the text of the samples; a stage whose LLM learns from written samples
    replies to these."""
    target = f"{run.folder.url}/{SAMPLES}"
    if config.held_out and not is_published(target):
        task = ray.remote(_write).options(num_cpus=1, num_gpus=float(use_gpu))
        ray.get(task.remote(config, data, run.export, target))


def _write(config: TrainConfig, data: Mixture, export: str, target: str) -> None:
    _, held_out = hold_out(MixedSamples(data), config.held_out, config.plan.seed)
    assert held_out is not None, "some are held out"
    samples = (held_out[index] for index in range(config.held_out))
    if config.stage.text_of == "written":
        samples = (sample for sample in samples if not sample.audios)
    with new_directory(target) as directory:
        shown, given_text = list(itertools.islice(samples, _COUNT)), set(config.stage.losses) == {"units"}
        write_replies(fetch_directory(export), shown, directory, given_text=given_text)
