"""Speech tokenizer directories: ``config.json`` and ``model.safetensors``, as published or as we save them.

Published ones may hold all layers of a Whisper's encoder, of which only those before the quantiser are read. Names of
their tensors may begin with ``model.encoder.``.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, value, write_json, write_tensors
from opens2s_core.checkpoint.modules import assign, build_empty, check_tensors
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.weight_norm import plain_weights
from opens2s_core.config import ConfigError, SpeechTokenizerConfig, config_to_dict, parse_config
from opens2s_core.models.speech_tokenizer import SpeechTokenizer

PREFIX = "model.encoder."

_OWN = {field.name for field in dataclasses.fields(SpeechTokenizerConfig)}
_FIXED = {
    "activation_function": "gelu",
    "encoder_causal_attention": False,
    "pooling_type": "avg",
    "quantize_causal_encoder": False,
    "scale_embedding": False,
}
"""Settings of the published encoder that must have these values."""
_TRAINING = {
    "encoder_layerdrop",
    "quantize_commit_coefficient",
    "quantize_encoder_only",
    "quantize_loss_scale",
    "quantize_restart_interval",
}
_SHAPING = re.compile("(encoder|pooling|quantize)_.*")
_EMA = {"ema_count", "ema_weight"}


def read_speech_tokenizer_config(directory: str | Path) -> SpeechTokenizerConfig:
    """Raises :class:`ConfigError` for settings that would give another encoder than ours; others are ignored."""
    path = Path(directory) / "config.json"
    values = read_json(path)
    for key, expected in _FIXED.items():
        if values.get(key, expected) != expected:
            raise ConfigError(f"{path}: {key}: expected {expected!r}, got {values[key]!r}")
    known = _OWN | set(_FIXED) | _TRAINING | {"encoder_layers"}
    if unknown := sorted(key for key in values if _SHAPING.fullmatch(key) and key not in known):
        raise ConfigError(f"{path}: unknown keys {unknown}; known are {sorted(known)}")
    return parse_config(SpeechTokenizerConfig, {key: values[key] for key in _OWN & set(values)}, str(path))


def load_speech_tokenizer(directory: str | Path, dtype: torch.dtype | None = None) -> SpeechTokenizer:
    """The encoder as far as its quantiser, in eval mode, in the types of the file or all in ``dtype``.

    Use float32 to compute units: between two almost equally near codes, lower precision may choose the other.

    Raises :class:`CheckpointError` that lists missing, unknown and mis-shaped tensors.
    """
    path = Path(directory)
    config = read_speech_tokenizer_config(path)
    model = build_empty(lambda: SpeechTokenizer(config))
    tensors = _encoder_tensors(plain_weights(open_tensors(path)), config, path)
    check_tensors(tensors, model.state_dict(), path, _EMA)
    state = {name: value(tensor, dtype) for name, tensor in tensors.items()}
    if config.quantize_ema_decay is not None:
        codes = state["codebook.weight"]
        state.setdefault("ema_count", codes.new_ones(len(codes), dtype=torch.float32))
        state.setdefault("ema_weight", codes.to(torch.float32, copy=True))
    return assign(model, state)


def save_speech_tokenizer(
    model: SpeechTokenizer, config: SpeechTokenizerConfig, directory: str | Path, *, averages: bool = True
) -> None:
    """``averages`` of the codebook are for further training, which starts new ones without them."""
    state = model.state_dict()
    write_tensors({name: tensor for name, tensor in state.items() if averages or name not in _EMA}, directory)
    write_json(Path(directory) / "config.json", config_to_dict(config))


def published_state(model: SpeechTokenizer) -> dict[str, Tensor]:
    """Tensors under their published names."""
    return {f"{PREFIX}{name}": tensor for name, tensor in model.state_dict().items()}


def published_config(config: SpeechTokenizerConfig) -> dict[str, Any]:
    """``config.json`` as the published code reads it: a Whisper with the layers that are stored, and a quantiser."""
    return {
        "architectures": ["WhisperVQEncoder"],
        "model_type": "whisper",
        **_FIXED,
        **config_to_dict(config),
        "encoder_layers": config.quantize_position,
        "quantize_encoder_only": True,
    }


def _encoder_tensors(
    tensors: Mapping[str, LazyTensor], config: SpeechTokenizerConfig, path: Path
) -> dict[str, LazyTensor]:
    """The tensors of :class:`SpeechTokenizer`: without the layers after the quantiser and their norm."""
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    if len(bare) < len(tensors):
        raise CheckpointError(f"{path}: expected names with or without {PREFIX}, got some with both")

    def needed(name: str) -> bool:
        layer = re.match(r"layers\.(\d+)\.", name)
        return int(layer[1]) < config.quantize_position if layer else not name.startswith("layer_norm.")

    return {name: tensor for name, tensor in bare.items() if needed(name)}
