"""A voice from a spoken corpus: speech tokenizer, flow and vocoder, one stage after another.

``output`` holds ``stages/NAME/`` (the runs), ``cache/`` (units and pitches) and, in the end, ``voice/`` with
``speech_tokenizer/`` and ``token2wav/``, ready to go into a bundle. What is there already is not made again.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from opens2s_core.checkpoint import SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.config import ConfigError, SpeechTokenizerConfig, Token2WavConfig, config_to_dict
from opens2s_core.storage import StorageError, new_directory
from opens2s_core.training.voice.corpus import MANIFEST, CorpusError, SpeechCorpus
from opens2s_core.training.voice.export import join_token2wav
from opens2s_core.training.voice.flow_stage import FlowStage, FlowStageConfig
from opens2s_core.training.voice.loop import EXPORT, finished_export, train_stage
from opens2s_core.training.voice.progress import ProgressBar
from opens2s_core.training.voice.stage import Stage, StageConfig
from opens2s_core.training.voice.tokenizer_stage import TokenizerStage, TokenizerStageConfig
from opens2s_core.training.voice.vocoder_stage import VocoderStage, VocoderStageConfig

STAGES = (TokenizerStage.name, FlowStage.name, VocoderStage.name)
VOICE = "voice"


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceConfig:
    """Sizes of the models and how each is trained."""

    speech_tokenizer: SpeechTokenizerConfig
    token2wav: Token2WavConfig
    tokenizer_stage: TokenizerStageConfig
    flow_stage: FlowStageConfig
    vocoder_stage: VocoderStageConfig

    def __post_init__(self) -> None:
        codes, known = self.speech_tokenizer.quantize_vocab_size, self.token2wav.flow.vocab_size
        if codes != known:
            raise ConfigError(f"flow.vocab_size: expected the speech tokenizer's {codes} codes, got {known}")


def make_voice(
    config: VoiceConfig,
    corpus: str | Path,
    output: str | Path,
    *,
    stages: Sequence[str] = STAGES,
    bar: Callable[..., Any] = tqdm,
) -> Path | None:
    """Run ``stages`` (names of :data:`STAGES`, in their order); returns ``output/voice`` once all three are finished.

    The flow needs the speech tokenizer's export and raises :class:`StorageError` where there is none. Raises as
    :func:`train_stage` and :class:`SpeechCorpus` do.
    """
    if not (Path(corpus) / MANIFEST).is_file():
        raise CorpusError(f"{corpus}: expected a spoken corpus with {MANIFEST} in it")
    material = _Material(config=config, corpus=Path(corpus), output=Path(output), bar=bar)
    makers = {TokenizerStage.name: _make_tokenizer, FlowStage.name: _make_flow, VocoderStage.name: _make_vocoder}
    for name in stages:
        makers[name](material)
    if not all(material.export(name).exists() for name in STAGES):
        return None
    return _join(material)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Material:
    config: VoiceConfig
    corpus: Path
    output: Path
    bar: Callable[..., Any]

    def run(self, name: str) -> Path:
        return self.output / "stages" / name

    def export(self, name: str) -> Path:
        return self.run(name) / EXPORT

    @property
    def cache(self) -> Path:
        return self.output / "cache"


def _make_tokenizer(material: _Material) -> None:
    config = material.config
    _train(
        material,
        TokenizerStage.name,
        config.tokenizer_stage,
        {"model": config_to_dict(config.speech_tokenizer)},
        partial(TokenizerStage, config.tokenizer_stage, config.speech_tokenizer),
    )


def _make_flow(material: _Material) -> None:
    config, tokenizer = material.config, material.export(TokenizerStage.name)
    if not tokenizer.exists():
        raise StorageError(f"{tokenizer}: expected a trained speech tokenizer: its stage comes before the flow's")
    _train(
        material,
        FlowStage.name,
        config.flow_stage,
        {"model": config_to_dict(config.token2wav.flow), "speech_tokenizer": _digest(tokenizer)},
        partial(FlowStage, config.flow_stage, config.token2wav, tokenizer=tokenizer, cache=material.cache),
    )


def _make_vocoder(material: _Material) -> None:
    config = material.config

    def stage(corpus: SpeechCorpus, held_out: SpeechCorpus) -> VocoderStage:
        return VocoderStage(config.vocoder_stage, config.token2wav, corpus, cache=material.cache)

    _train(material, VocoderStage.name, config.vocoder_stage, {"model": config_to_dict(config.token2wav.hift)}, stage)


def _train(
    material: _Material,
    name: str,
    config: StageConfig,
    depends_on: dict[str, Any],
    build: Callable[[SpeechCorpus, SpeechCorpus], Stage],
) -> None:
    """One stage, built only where it is not finished: building reads the corpus."""
    settings = {"corpus": _file_digest(material.corpus / MANIFEST), **depends_on}
    if finished_export(name, config, material.run(name), settings) is not None:
        return
    stage = build(SpeechCorpus(material.corpus, "train"), SpeechCorpus(material.corpus, "held_out"))
    with ProgressBar(name, config.steps, material.bar) as progress:
        train_stage(stage, config, material.run(name), settings=settings, progress=progress)


def _join(material: _Material) -> Path:
    voice = material.output / VOICE
    if not voice.exists():
        with new_directory(voice) as target:
            shutil.copytree(material.export(TokenizerStage.name), target / SPEECH_TOKENIZER)
            join_token2wav(material.export(FlowStage.name), material.export(VocoderStage.name), target / TOKEN2WAV)
    return voice


def _digest(directory: Path) -> str:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return hashlib.sha256("".join(f"{path.name} {_file_digest(path)}\n" for path in files).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
