"""What an OpenS2S checkpoint's ``config.json`` says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.config import ConfigError
from opens2s_core.models.adapter import adapter_frames
from opens2s_core.models.audio_encoder import AudioPadding, clip_encoder_frames
from opens2s_core.prompt import PromptStyle

_FOREIGN_KEYS = {"architectures", "torch_dtype", "dtype", "transformers_version", "lora_config", "model_type"}
"""What the published config.json also holds and what does not concern the architecture."""


@dataclass(frozen=True, slots=True)
class Interleave:
    """How many hidden states are read for how many units spoken (paper section 2.1: M = 4, N = 8)."""

    hiddens: int = 4
    units: int = 8

    @classmethod
    def parse(cls, text: str) -> "Interleave":
        """From the published notation, e.g. ``"4:8"``."""
        hiddens, _, units = text.partition(":")
        if not (hiddens.isdigit() and units.isdigit() and int(hiddens) and int(units)):
            raise ConfigError(f"interleave_strategy {text!r}: expected two positive whole numbers such as '4:8'")
        return cls(int(hiddens), int(units))

    def __str__(self) -> str:
        return f"{self.hiddens}:{self.units}"

    def order(self, num_hiddens: int, num_units: int) -> NDArray[np.int64]:
        """Reading order of a reply as indices into [speaker, hiddens…, units…]: int64 (1 + hiddens + units,).

        Blocks of hiddens and units alternate; when one side is used up the other goes on without gaps.
        """
        hidden, unit = np.arange(num_hiddens), np.arange(num_units)
        units_before = np.minimum(hidden // self.hiddens * self.units, num_units)
        hiddens_before = np.minimum((unit // self.units + 1) * self.hiddens, num_hiddens)
        order = np.zeros(1 + num_hiddens + num_units, dtype=np.int64)
        order[1 + hidden + units_before] = 1 + hidden
        order[1 + unit + hiddens_before] = 1 + num_hiddens + unit
        return order


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenS2SConfig:
    """The published ``config.json``, and two facts it lacks: how audio is padded and which prompt style was trained."""

    audio_encoder: Qwen2AudioEncoderConfig
    llm: Qwen3Config
    speech_decoder: Qwen3Config
    adapter_inner_dim: int = 512
    adapter_kernel_sizes: tuple[int, ...] = (5, 5)
    interleave: Interleave = field(default_factory=Interleave)
    audio_padding: AudioPadding = "full"
    prompt_style: PromptStyle = "chat"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OpenS2SConfig":
        """Parse the published layout. Missing or unknown keys raise :class:`ConfigError`."""
        values = {key: value for key, value in values.items() if key not in _FOREIGN_KEYS}
        try:
            parsed = cls(
                audio_encoder=Qwen2AudioEncoderConfig(**values.pop("audio_encoder_config")),
                llm=Qwen3Config(**values.pop("llm_config")),
                speech_decoder=Qwen3Config(**values.pop("tts_lm_config")),
                adapter_inner_dim=values.pop("adapter_inner_dim"),
                adapter_kernel_sizes=tuple(int(k) for k in values.pop("conv_kernel_sizes").split(",")),
                interleave=Interleave.parse(values.pop("interleave_strategy")),
                audio_padding=values.pop("audio_padding", "full"),
                prompt_style=values.pop("prompt_style", "chat"),
            )
        except KeyError as error:
            raise ConfigError(f"config.json: missing key {error}") from error
        if values:
            raise ConfigError(f"config.json: unknown keys {sorted(values)}")
        return parsed

    def to_dict(self) -> dict[str, Any]:
        return {
            "architectures": ["OmniSpeechModel"],
            "audio_encoder_config": self.audio_encoder.to_dict(),
            "llm_config": self.llm.to_dict(),
            "tts_lm_config": self.speech_decoder.to_dict(),
            "adapter_inner_dim": self.adapter_inner_dim,
            "conv_kernel_sizes": ",".join(map(str, self.adapter_kernel_sizes)),
            "interleave_strategy": str(self.interleave),
            "audio_padding": self.audio_padding,
            "prompt_style": self.prompt_style,
        }

    def audio_positions(self, num_samples: int) -> int:
        """LLM positions that a clip of ``num_samples`` at 16 kHz takes."""
        return adapter_frames(clip_encoder_frames(num_samples), len(self.adapter_kernel_sizes))
