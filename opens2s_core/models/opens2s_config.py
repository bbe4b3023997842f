"""The ``config.json`` of an OpenS2S checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.config import ConfigError
from opens2s_core.models.adapter import adapter_frames
from opens2s_core.models.audio_encoder import AudioPadding, clip_encoder_frames
from opens2s_core.models.transformers_config import parse_transformers_config, published_config
from opens2s_core.prompt import SPEAKER_DIM, PromptStyle

_FOREIGN_KEYS = {"architectures", "torch_dtype", "dtype", "transformers_version", "lora_config", "model_type"}
"""Keys of the published config.json that do not describe the architecture."""
_SUB_CONFIGS = ("audio_encoder_config", "llm_config", "tts_lm_config")
_PUBLISHED_KEYS = {*_SUB_CONFIGS, "adapter_inner_dim", "conv_kernel_sizes", "interleave_strategy"}
_OWN_KEYS = {
    "audio_padding",
    "prompt_style",
    "transcription_prompt",
    "units_per_token",
    "units_temperature",
    "speaker_dim",
}


@dataclass(frozen=True, slots=True)
class Interleave:
    """The ratio of hidden states read to units generated (paper section 2.1: M = 4, N = 8)."""

    hidden_states: int = 4
    units: int = 8

    @classmethod
    def parse(cls, text: object) -> "Interleave":
        """From the published notation, e.g. ``"4:8"``. Raises :class:`ConfigError`."""
        hidden_states, _, units = str(text).partition(":")
        if not (hidden_states.isdecimal() and units.isdecimal() and int(hidden_states) and int(units)):
            raise ConfigError(f"interleave_strategy {text!r}: expected two positive integers such as '4:8'")
        return cls(int(hidden_states), int(units))

    def __str__(self) -> str:
        return f"{self.hidden_states}:{self.units}"

    def order(self, num_hidden_states: int, num_units: int) -> NDArray[np.int64]:
        """Reading order of a reply as indices into [speaker, hidden states…, units…]: int64 (1 + H + U,).

        Blocks of hidden states and units alternate; when one kind is used up, the other continues without gaps.
        """
        hidden, unit = np.arange(num_hidden_states), np.arange(num_units)
        units_before = np.minimum(hidden // self.hidden_states * self.units, num_units)
        hidden_states_before = np.minimum((unit // self.units + 1) * self.hidden_states, num_hidden_states)
        order = np.zeros(1 + num_hidden_states + num_units, dtype=np.int64)
        order[1 + hidden + units_before] = 1 + hidden
        order[1 + unit + hidden_states_before] = 1 + num_hidden_states + unit
        return order


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenS2SConfig:
    """The published ``config.json`` and six additional settings: the padding of audio, the prompt style of training,
    the text before a clip that the model was trained to transcribe (empty: it was not trained to), the number of speech
    units per hidden state in the training data (None: unknown), the temperature for sampling units (1 in the published
    server; 0 is greedy), and the size of a speaker vector."""

    audio_encoder: Qwen2AudioEncoderConfig
    llm: Qwen3Config
    speech_decoder: Qwen3Config
    adapter_inner_dim: int = 512
    adapter_kernel_sizes: tuple[int, ...] = (5, 5)
    interleave: Interleave = field(default_factory=Interleave)
    audio_padding: AudioPadding = "full"
    prompt_style: PromptStyle = "chat"
    transcription_prompt: str = ""
    units_per_token: float | None = None
    units_temperature: float = 1.0
    speaker_dim: int = SPEAKER_DIM

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OpenS2SConfig":
        """Parse the published layout; ``values`` are not changed. Raises :class:`ConfigError` for missing or unknown
        keys and for values of the wrong type."""
        values = {key: value for key, value in values.items() if key not in _FOREIGN_KEYS}
        if missing := sorted(_PUBLISHED_KEYS - set(values)):
            raise ConfigError(f"missing keys {missing}")
        if unknown := sorted(set(values) - _PUBLISHED_KEYS - _OWN_KEYS):
            raise ConfigError(f"unknown keys {unknown}")
        audio_encoder, llm, speech_decoder = (values[key] for key in _SUB_CONFIGS)
        return cls(
            audio_encoder=parse_transformers_config(Qwen2AudioEncoderConfig, audio_encoder, _SUB_CONFIGS[0]),
            llm=parse_transformers_config(Qwen3Config, llm, _SUB_CONFIGS[1]),
            speech_decoder=parse_transformers_config(Qwen3Config, speech_decoder, _SUB_CONFIGS[2]),
            adapter_inner_dim=_positive("adapter_inner_dim", values["adapter_inner_dim"]),
            adapter_kernel_sizes=_kernel_sizes(values["conv_kernel_sizes"]),
            interleave=Interleave.parse(values["interleave_strategy"]),
            audio_padding=_one_of(AudioPadding, "audio_padding", values.get("audio_padding", "full")),
            prompt_style=_one_of(PromptStyle, "prompt_style", values.get("prompt_style", "chat")),
            transcription_prompt=_text("transcription_prompt", values.get("transcription_prompt", "")),
            units_per_token=_units_per_token(values.get("units_per_token")),
            units_temperature=_temperature(values.get("units_temperature", 1.0)),
            speaker_dim=_positive("speaker_dim", values.get("speaker_dim", SPEAKER_DIM)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The published layout with the additional settings."""
        own: dict[str, Any] = {"audio_padding": self.audio_padding, "prompt_style": self.prompt_style}
        if self.transcription_prompt:
            own["transcription_prompt"] = self.transcription_prompt
        if self.units_per_token is not None:
            own["units_per_token"] = self.units_per_token
        if self.units_temperature != 1.0:
            own["units_temperature"] = self.units_temperature
        if self.speaker_dim != SPEAKER_DIM:
            own["speaker_dim"] = self.speaker_dim
        return self.published() | own

    def published(self) -> dict[str, Any]:
        """The published layout without the additional settings, as the reference's code reads it."""
        configs = zip(_SUB_CONFIGS, (self.audio_encoder, self.llm, self.speech_decoder), strict=True)
        return {
            "architectures": ["OmniSpeechModel"],
            **{key: published_config(config) for key, config in configs},
            "adapter_inner_dim": self.adapter_inner_dim,
            "conv_kernel_sizes": ",".join(map(str, self.adapter_kernel_sizes)),
            "interleave_strategy": str(self.interleave),
            "lora_config": None,
        }

    def audio_positions(self, num_samples: int) -> int:
        """Number of LLM positions of a clip of ``num_samples`` at 16 kHz."""
        return adapter_frames(clip_encoder_frames(num_samples), len(self.adapter_kernel_sizes))


def _positive(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{key}: expected a positive integer, got {value!r}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key}: expected a text, got {value!r}")
    return value


def _units_per_token(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ConfigError(f"units_per_token: expected a number above 0, got {value!r}")
    return float(value)


def _temperature(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 2:
        raise ConfigError(f"units_temperature: expected a number from 0 to 2, got {value!r}")
    return float(value)


def _kernel_sizes(text: object) -> tuple[int, ...]:
    """From the published notation, e.g. ``"5,5"``."""
    sizes = [size.strip() for size in str(text).split(",")]
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise ConfigError(f"conv_kernel_sizes: expected positive numbers such as '5,5', got {text!r}")
    return tuple(map(int, sizes))


def _one_of(kind: Any, key: str, value: object) -> Any:
    if value not in get_args(kind):
        raise ConfigError(f"{key}: expected one of {list(get_args(kind))}, got {value!r}")
    return value
