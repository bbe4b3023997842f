"""Assembles an OpenS2S directory from published parts, as the start of training (the reference's start from scratch).

The audio encoder is Qwen2-Audio's, the LLM a Qwen3 with the speech tokens, the speech decoder a small Qwen3 with the
speech units added to its vocabulary. Adapter, projections and their norms are new.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2AudioEncoderConfig, Qwen3Config, WhisperFeatureExtractor

from opens2s_core.audio import HOP, N_FFT, SAMPLE_RATE
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, write_json
from opens2s_core.checkpoint.modules import build_empty, check_tensors
from opens2s_core.checkpoint.opens2s import EMBEDDINGS, write_opens2s
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.vocabulary import table_rows
from opens2s_core.models.audio_encoder import AudioEncoder, AudioPadding
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from opens2s_core.models.seeding import seeded
from opens2s_core.models.transformers_config import parse_transformers_config
from opens2s_core.prompt import SPEAKER_DIM, SPEECH_TOKENS, TURN_END, PromptBuilder, PromptStyle
from opens2s_core.storage import StorageError, fetch_directory, is_url, new_directory
from opens2s_core.training.language_model import LanguageModel, read_language_model, resize_vocabulary, with_end_token
from opens2s_core.training.tokens import add_tokens, add_unit_tokens

_TOWERS = ("audio_tower.", "model.audio_tower.")
"""Prefixes of the encoder in a whole Qwen2-Audio."""
_NEW = ("audio_adapter.", "llm2tts.", "llm_ln.", "tts_lm_model.spk2tts.", "tts_lm_model.spk_ln.")
"""Modules that are in no part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AssembleConfig:
    """Settings that the parts do not determine; the defaults are the published values."""

    units: int = 16_384  # size of the speech tokenizer's codebook
    adapter_inner_dim: int = 512
    adapter_kernel_sizes: tuple[int, ...] = (5, 5)
    interleave: Interleave = field(default_factory=Interleave)
    audio_padding: AudioPadding = "full"
    prompt_style: PromptStyle = "training"
    speaker_dim: int = SPEAKER_DIM
    seed: int = 0


def assemble(
    audio: str | Path, llm: str | Path, speech_decoder: str | Path, output: str | Path, config: AssembleConfig
) -> None:
    """Write an OpenS2S directory from three others. All are paths or URLs.

    ``audio`` is a Qwen2-Audio or its encoder alone, ``llm`` and ``speech_decoder`` are Qwen3 with their tokenizers.
    ``output`` is written atomically. Tensors are read and written shard by shard and converted to the LLM's dtype; new
    ones are initialised from the seed. Raises :class:`CheckpointError` or :class:`ConfigError` for an incomplete part
    or one of another model, and :class:`StorageError` if ``output`` overlaps a part.
    """
    _check_apart(output, (audio, llm, speech_decoder))
    encoder_source = fetch_directory(audio)
    encoder, encoder_tensors = _read_encoder(encoder_source)
    extractor = _extractor_settings(encoder_source, encoder.num_mel_bins)
    thinker = _with_speech_tokens(read_language_model(fetch_directory(llm)), config)
    decoder = _with_units(read_language_model(fetch_directory(speech_decoder)), config)
    assembled = _opens2s_config(encoder, thinker.config, decoder.config, config)
    parts = {"audio_encoder_model": encoder_tensors, "llm_model": thinker.tensors, "tts_lm_model": decoder.tensors}
    dtype = thinker.tensors[EMBEDDINGS].dtype
    tensors: dict[str, Tensor | LazyTensor] = {
        f"{prefix}.{name}": _cast(tensor, dtype) for prefix, part in parts.items() for name, tensor in part.items()
    }
    tensors |= _new_modules(assembled, dtype, config.seed)
    with new_directory(output) as target:
        write_opens2s(tensors, assembled.to_dict(), target)
        for model, where in ((thinker, target), (decoder, target / "tts")):
            model.tokenizer.save_pretrained(where)
            write_json(where / "generation_config.json", model.generation)
        (target / "audio").mkdir()
        write_json(target / "audio" / "preprocessor_config.json", extractor)


def _check_apart(output: str | Path, parts: tuple[str | Path, ...]) -> None:
    """``output`` replaces an existing directory, so it must not contain a part or lie in one."""
    if is_url(output):
        return
    target = Path(output).resolve()
    for part in (Path(part).resolve() for part in parts if not is_url(part)):
        if target == part or target in part.parents or part in target.parents:
            raise StorageError(f"{output}: expected a directory that neither contains nor lies in {part}")


def _read_encoder(path: Path) -> tuple[Qwen2AudioEncoderConfig, dict[str, LazyTensor]]:
    values, where = read_json(path / "config.json"), str(path / "config.json")
    files = open_tensors(path)
    tensors = dict(files)
    if values.get("model_type") == "qwen2_audio":
        values, where = values.get("audio_config", {}), f"{where}.audio_config"
        tensors = {
            name.removeprefix(tower): files[name] for tower in _TOWERS for name in files if name.startswith(tower)
        }
    config = parse_transformers_config(Qwen2AudioEncoderConfig, values, where)
    check_tensors(tensors, build_empty(lambda: AudioEncoder(config)).state_dict(), path)
    return config, tensors


def _extractor_settings(path: Path, mel_bins: int) -> dict[str, Any]:
    """The settings of the feature extractor, from the encoder's directory or Qwen2-Audio's, checked against ours."""
    expected = {"feature_size": mel_bins, "sampling_rate": SAMPLE_RATE, "hop_length": HOP, "n_fft": N_FFT}
    alone, processor = path / "preprocessor_config.json", path / "processor_config.json"
    if alone.exists():
        settings = read_json(alone)
    elif processor.exists():
        settings = read_json(processor).get("feature_extractor", {})
    else:
        settings = WhisperFeatureExtractor(**expected, return_attention_mask=True).to_dict()
    if wrong := {name: settings.get(name) for name, value in expected.items() if settings.get(name) != value}:
        raise CheckpointError(f"{path}: expected a feature extractor with {expected}, got {wrong}")
    return settings


def _with_speech_tokens(model: LanguageModel, config: AssembleConfig) -> LanguageModel:
    known = table_rows(model.tokenizer)
    add_tokens(model.tokenizer, SPEECH_TOKENS, special=True)
    try:
        PromptBuilder(model.tokenizer, config.prompt_style)
    except ValueError as error:
        raise CheckpointError(f"{model.source}: prompt style {config.prompt_style!r}: {error}") from error
    return with_end_token(resize_vocabulary(model, known, config.seed), TURN_END)


def _with_units(model: LanguageModel, config: AssembleConfig) -> LanguageModel:
    known = table_rows(model.tokenizer)
    return resize_vocabulary(model, known, config.seed) if add_unit_tokens(model.tokenizer, config.units) else model


def _opens2s_config(
    encoder: Qwen2AudioEncoderConfig, llm: Qwen3Config, speech_decoder: Qwen3Config, config: AssembleConfig
) -> OpenS2SConfig:
    assembled = OpenS2SConfig(
        audio_encoder=encoder,
        llm=llm,
        speech_decoder=speech_decoder,
        adapter_inner_dim=config.adapter_inner_dim,
        adapter_kernel_sizes=config.adapter_kernel_sizes,
        interleave=config.interleave,
        audio_padding=config.audio_padding,
        prompt_style=config.prompt_style,
        speaker_dim=config.speaker_dim,
    )
    return OpenS2SConfig.from_dict(assembled.to_dict())  # checks that it can be loaded


def _cast(tensor: LazyTensor, dtype: torch.dtype) -> LazyTensor:
    return LazyTensor(tensor.shape, dtype, lambda: tensor.read().to(dtype))


def _new_modules(config: OpenS2SConfig, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """The new modules, initialised by their constructors in a model without layers and with a vocabulary of 1."""
    without_layers = OpenS2SConfig(
        audio_encoder=Qwen2AudioEncoderConfig(d_model=config.audio_encoder.d_model, encoder_layers=0),
        llm=_without_layers(config.llm),
        speech_decoder=_without_layers(config.speech_decoder),
        adapter_inner_dim=config.adapter_inner_dim,
        adapter_kernel_sizes=config.adapter_kernel_sizes,
        speaker_dim=config.speaker_dim,
    )
    with seeded(seed):
        model = OpenS2S(without_layers)
    state = model.thinker.state_dict() | model.speech_decoder.state_dict()
    return {name: value.to(dtype) for name, value in state.items() if name.startswith(_NEW)}


def _without_layers(config: Qwen3Config) -> Qwen3Config:
    width, spread = config.hidden_size, config.initializer_range
    return Qwen3Config(hidden_size=width, initializer_range=spread, num_hidden_layers=0, vocab_size=1)
