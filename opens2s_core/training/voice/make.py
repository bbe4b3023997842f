"""Trains or fine-tunes a voice on a speech corpus: speech tokenizer, flow and vocoder, one stage after another.

``output`` has ``stages/NAME/`` (the runs), ``cache/`` (units and pitches) and finally ``voice/`` with
``speech_tokenizer/`` and ``token2wav/``, the parts of a bundle. Finished stages are not run again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.speech_tokenizer import (
    load_speech_tokenizer,
    read_speech_tokenizer_config,
    save_speech_tokenizer,
)
from opens2s_core.checkpoint.token2wav import read_token2wav_config
from opens2s_core.config import ConfigError, SpeechTokenizerConfig, Token2WavConfig, config_to_dict
from opens2s_core.storage import StorageError, digest, new_directory
from opens2s_core.training.loop import Progress
from opens2s_core.training.run import EXPORT
from opens2s_core.training.voice.corpus import MANIFEST, CorpusError, SpeechCorpus
from opens2s_core.training.voice.export import join_token2wav
from opens2s_core.training.voice.flow_stage import FlowStage, FlowStageConfig
from opens2s_core.training.voice.progress import ProgressBar
from opens2s_core.training.voice.stage import Stage, StageConfig
from opens2s_core.training.voice.task import open_stage_run, train_stage
from opens2s_core.training.voice.tokenizer_stage import TokenizerStage, TokenizerStageConfig
from opens2s_core.training.voice.vocoder_stage import VocoderStage, VocoderStageConfig

STAGES = (TokenizerStage.name, FlowStage.name, VocoderStage.name)
VOICE = "voice"
ShowStage = Callable[[str, int], AbstractContextManager[Callable[[Progress], None]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceConfig:
    """Sizes and training of the models; ``half_precision`` is the precision of the finished voice's files."""

    speech_tokenizer: SpeechTokenizerConfig
    token2wav: Token2WavConfig
    tokenizer_stage: TokenizerStageConfig
    flow_stage: FlowStageConfig
    vocoder_stage: VocoderStageConfig
    half_precision: bool = False

    def __post_init__(self) -> None:
        codes, known = self.speech_tokenizer.quantize_vocab_size, self.token2wav.flow.vocab_size
        if codes != known:
            raise ConfigError(f"flow.vocab_size: expected the speech tokenizer's {codes} codes, got {known}")

    def with_voice(self, voice: str) -> "VoiceConfig":
        """The same configuration with flow and vocoder trained on another voice of the corpus."""
        flow, vocoder = replace(self.flow_stage, voice=voice), replace(self.vocoder_stage, voices=(voice,))
        return replace(self, flow_stage=flow, vocoder_stage=vocoder)


def make_voice(
    config: VoiceConfig,
    corpus: str | Path,
    output: str | Path,
    *,
    start: str | Path | None = None,
    stages: Sequence[str] = STAGES,
    show: ShowStage = ProgressBar,
) -> Path | None:
    """Run ``stages`` (names of :data:`STAGES`, in their order); returns ``output/voice`` if all three parts exist.

    ``start`` is a voice to fine-tune: it provides the sizes and initial weights, and the parts whose stage is not run.
    Without it the flow needs the export of the speech tokenizer, else :class:`StorageError`. ``show`` is called with
    name and steps of a stage and shows its progress. Raises as
    :func:`train_stage`, :class:`SpeechCorpus` and loading ``start`` do.
    """
    if not (Path(corpus) / MANIFEST).is_file():
        raise CorpusError(f"{corpus}: expected a speech corpus with {MANIFEST}")
    if start is not None:
        start = Path(start)
        config = replace(
            config,
            speech_tokenizer=read_speech_tokenizer_config(start / SPEECH_TOKENIZER),
            token2wav=read_token2wav_config(start / TOKEN2WAV),
        )
    run = _Run(config=config, corpus=Path(corpus), output=Path(output), start=start, show=show)
    makers = {TokenizerStage.name: _make_tokenizer, FlowStage.name: _make_flow, VocoderStage.name: _make_vocoder}
    for name in stages:
        makers[name](run)
    return _join(run) if all(run.part(name).exists() for name in STAGES) else None


def stage_directory(output: str | Path, name: str) -> Path:
    """Where the run of a stage is."""
    return Path(output) / "stages" / name


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    config: VoiceConfig
    corpus: Path
    output: Path
    start: Path | None
    show: ShowStage

    def part(self, name: str) -> Path:
        """Directory of the output of a stage: its export, or the part of ``start``."""
        export = stage_directory(self.output, name) / EXPORT
        return export if export.exists() else self.initial(name) or export

    def initial(self, name: str) -> Path | None:
        """Directory of the initial weights of a stage, if any."""
        return self.start and self.start / (SPEECH_TOKENIZER if name == TokenizerStage.name else TOKEN2WAV)

    @property
    def cache(self) -> Path:
        return self.output / "cache"


def _make_tokenizer(run: _Run) -> None:
    config = run.config
    _train(
        run,
        TokenizerStage.name,
        config.tokenizer_stage,
        {"model": config_to_dict(config.speech_tokenizer)},
        partial(
            TokenizerStage,
            config.tokenizer_stage,
            config.speech_tokenizer,
            start=run.initial(TokenizerStage.name),
        ),
    )


def _make_flow(run: _Run) -> None:
    config, tokenizer = run.config, run.part(TokenizerStage.name)
    if not tokenizer.exists():
        raise StorageError(f"{tokenizer}: expected a trained speech tokenizer: run its stage before the flow's")
    _train(
        run,
        FlowStage.name,
        config.flow_stage,
        {"model": config_to_dict(config.token2wav.flow), "speech_tokenizer": digest(tokenizer)},
        partial(
            FlowStage,
            config.flow_stage,
            config.token2wav,
            tokenizer=tokenizer,
            cache=run.cache,
            start=run.initial(FlowStage.name),
        ),
    )


def _make_vocoder(run: _Run) -> None:
    config = run.config

    def stage(corpus: SpeechCorpus, held_out: SpeechCorpus) -> VocoderStage:
        first = run.initial(VocoderStage.name)
        return VocoderStage(config.vocoder_stage, config.token2wav, corpus, cache=run.cache, start=first)

    _train(run, VocoderStage.name, config.vocoder_stage, {"model": config_to_dict(config.token2wav.hift)}, stage)


def _train(
    run: _Run,
    name: str,
    config: StageConfig,
    depends_on: dict[str, Any],
    build: Callable[[SpeechCorpus, SpeechCorpus], Stage],
) -> None:
    """Run one stage if it is not finished. It is built only then, because building reads the corpus."""
    depends_on = {"corpus": digest(run.corpus / MANIFEST), **depends_on}
    if (first := run.initial(name)) is not None:
        depends_on["start"] = digest(first)
    directory = stage_directory(run.output, name)
    if open_stage_run(name, config, directory, depends_on).is_finished():
        return
    stage = build(SpeechCorpus(run.corpus, "train"), SpeechCorpus(run.corpus, "held_out"))
    with run.show(name, config.steps) as progress:
        train_stage(stage, config, directory, depends_on=depends_on, on_step=progress)


def _join(run: _Run) -> Path:
    voice = run.output / VOICE
    dtype = torch.float16 if run.config.half_precision else torch.float32
    tokenizer, flow, vocoder = (run.part(name) for name in STAGES)
    # A voice that is fine-tuned stage by stage is joined again after every stage.
    if not voice.exists() or voice.stat().st_mtime < max(part.stat().st_mtime for part in (tokenizer, flow, vocoder)):
        with new_directory(voice) as target:
            model = load_speech_tokenizer(tokenizer, dtype)
            save_speech_tokenizer(model, model.config, target / SPEECH_TOKENIZER, averages=False)
            join_token2wav(flow, vocoder, target / TOKEN2WAV, dtype)
    return voice
