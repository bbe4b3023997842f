"""The voice's stages in the job of training: speech tokenizer, flow and vocoder, see :mod:`ray_jobs.train`."""

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.speech_tokenizer import read_speech_tokenizer_config
from opens2s_core.checkpoint.token2wav import read_token2wav_config
from opens2s_core.training.folder import Folder
from opens2s_core.training.run import Run
from opens2s_core.training.voice.corpus import CorpusError, read_manifest
from opens2s_core.training.voice.make import STAGES, VOICE, VoiceConfig, make_voice, stage_directory
from ray_jobs.attempts import final_errors, fit_until_done
from ray_jobs.train_progress import TrainProgress, show_training
from ray_jobs.train_recipes import WorkersConfig
from ray_jobs.voice_recipes import VOICES

_TOKENIZER, _FLOW, _VOCODER = STAGES
VOICE_STAGES: dict[str, tuple[str, ...]] = {
    "voice": STAGES,
    "voice-tokenizer": (_TOKENIZER,),
    "voice-flow": (_FLOW,),
    "voice-vocoder": (_VOCODER,),
}
"""The stages of each recipe."""

_WORKERS = {
    "smoke": WorkersConfig(count=1),
    "tiny": WorkersConfig(count=1, cpus=2),
    "gpu": WorkersConfig(count=1, cpus=8, use_gpu=True),
}
_CONFIGS = {_TOKENIZER: "tokenizer_stage", _FLOW: "flow_stage", _VOCODER: "vocoder_stage"}  # in VoiceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceRecipe:
    """``stages`` of a voice, which one worker trains one after another."""

    voice: VoiceConfig
    stages: tuple[str, ...]
    workers: WorkersConfig

    def with_settings(self, **settings: Any) -> "VoiceRecipe":
        """With other ``settings`` of its stages, fields of their configurations."""
        changed = {_CONFIGS[stage]: replace(getattr(self.voice, _CONFIGS[stage]), **settings) for stage in self.stages}
        return replace(self, voice=replace(self.voice, **changed))


def voice_recipe(name: str, size: str) -> VoiceRecipe:
    """One of VOICE_STAGES in one of the sizes of VOICES."""
    return VoiceRecipe(voice=VOICES[size](), stages=VOICE_STAGES[name], workers=_WORKERS[size])


@dataclass(frozen=True, kw_only=True, slots=True)
class _VoiceJob:
    config: VoiceConfig
    corpus: str
    output: str
    start: str | None
    stage: str


def train_voice(recipe: VoiceRecipe, corpus: str, output: str, *, start: str | None = None) -> Path | None:
    """Run the stages of the recipe; returns the directory of the voice once it has all its parts, else None.

    Corpus, output and ``start`` are directories that the worker finds under the same names. Raises ``ValueError`` for
    what is wrong with them.
    """
    config, workers = recipe.voice, recipe.workers
    corpus, output, start = os.path.abspath(corpus), os.path.abspath(output), start and os.path.abspath(start)
    _check(recipe, corpus, start)
    for stage in recipe.stages:
        job = _VoiceJob(config=config, corpus=corpus, output=output, start=start, stage=stage)
        with show_training(stage, getattr(config, _CONFIGS[stage]).steps) as progress:
            run = Run(Folder.at(stage_directory(output, stage)))
            fit_until_done(partial(_trainer, job, workers, progress), progress, run.checkpoints.steps)
    voice = Path(output) / VOICE
    return voice if voice.exists() else None


def _trainer(job: _VoiceJob, workers: WorkersConfig, progress: TrainProgress) -> TorchTrainer:
    return TorchTrainer(
        _train_worker,
        train_loop_config={"job": job, "progress": progress},
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count, use_gpu=workers.use_gpu, resources_per_worker={"CPU": workers.cpus}
        ),
        run_config=ray.train.RunConfig(name="ray", storage_path=job.output),
    )


def _check(recipe: VoiceRecipe, corpus: str, start: str | None) -> None:
    """What can be known before a worker starts."""
    there = {utterance.voice for utterance in read_manifest(corpus)}
    wanted = {_FLOW: (recipe.voice.flow_stage.voice,), _VOCODER: recipe.voice.vocoder_stage.voices}
    for stage in recipe.stages:
        if missing := sorted(set(wanted.get(stage, ())) - there):
            raise CorpusError(f"{corpus}: expected utterances of {missing}, there are those of {sorted(there)}")
    if start is not None:
        read_speech_tokenizer_config(Path(start) / SPEECH_TOKENIZER)
        read_token2wav_config(Path(start) / TOKEN2WAV)


def _train_worker(settings: dict[str, Any]) -> None:
    job: _VoiceJob = settings["job"]
    progress: TrainProgress = settings["progress"]
    with final_errors(progress):
        make_voice(
            job.config,
            job.corpus,
            job.output,
            start=job.start,
            stages=(job.stage,),
            show=lambda name, steps: nullcontext(progress.update),
        )
