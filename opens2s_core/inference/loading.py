"""Loads the engines of a bundle.

The libraries of a stage are imported only when its engine is built: most of the restart time of a replica is imports
(transformers' models take longer than torch).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from opens2s_core.checkpoint.bundle import OPENS2S, TOKEN2WAV, UNITS_PER_TOKEN
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.storage import fetch_directory

Stage = Literal["thinker", "speech_decoder", "token2wav"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Settings of the engines of a bundle. ``token2wav`` is ``bounded``, with a cost per chunk that does not grow with
    the reply, or ``reference``, the published streaming, for comparison."""

    thinker: LMSettings = field(default_factory=LMSettings)
    speech_decoder: LMSettings = field(default_factory=LMSettings)
    token2wav: Literal["bounded", "reference"] = "bounded"


def build_engine(stage: Stage, bundle: str | Path, *, capacity: int, settings: EngineSettings | None = None) -> Engine:
    """The engine of one stage of the bundle, a directory or URL; only that stage's weights are loaded.

    On a GPU the language models keep the dtype of their files; on a CPU they use float32. Token2wav always uses
    float32. Set the number of torch's threads before.
    """
    settings = settings or EngineSettings()
    directory = fetch_directory(bundle, f"{TOKEN2WAV if stage == 'token2wav' else OPENS2S}/*")
    match stage:
        case "thinker":
            return build_thinker(directory / OPENS2S, capacity=capacity, settings=settings.thinker)
        case "speech_decoder":
            return _build_speech_decoder(directory / OPENS2S, capacity, settings.speech_decoder)
        case "token2wav":
            return _build_token2wav(directory / TOKEN2WAV, capacity, settings.token2wav)


def build_thinker(opens2s: Path, *, capacity: int, settings: LMSettings | None = None) -> Engine:
    """The thinker of an OpenS2S directory; see :func:`build_engine`."""
    from opens2s_core.checkpoint.opens2s import load_thinker
    from opens2s_core.checkpoint.vocabulary import read_vocabulary
    from opens2s_core.inference.thinker import ThinkerEngine

    device = _device()
    thinker = load_thinker(opens2s, _lm_dtype(device)).to(device)
    return ThinkerEngine(thinker, read_vocabulary(opens2s), capacity=capacity, settings=settings)


def _build_speech_decoder(opens2s: Path, capacity: int, settings: LMSettings) -> Engine:
    from opens2s_core.checkpoint.opens2s import load_speech_decoder
    from opens2s_core.checkpoint.vocabulary import read_vocabulary
    from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
    from opens2s_core.inference.speech_length import SpeechLimits

    device = _device()
    decoder = load_speech_decoder(opens2s, _lm_dtype(device)).to(device)
    units = read_vocabulary(opens2s).units
    limits = SpeechLimits(units_per_token=decoder.config.units_per_token or UNITS_PER_TOKEN)
    return SpeechDecoderEngine(decoder, units, capacity=capacity, settings=settings, limits=limits)


def _build_token2wav(token2wav: Path, capacity: int, streaming: Literal["bounded", "reference"]) -> Engine:
    from opens2s_core.checkpoint.token2wav import load_token2wav
    from opens2s_core.inference.reference_engine import ReferenceToken2WavEngine
    from opens2s_core.inference.token2wav import Token2WavEngine

    flow, vocoder = load_token2wav(token2wav, torch.float32)
    engine = Token2WavEngine if streaming == "bounded" else ReferenceToken2WavEngine
    return engine(flow.to(_device()), vocoder.to(_device()), capacity=capacity)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"  # Ray hides GPUs that are not assigned to the replica


def _lm_dtype(device: str) -> torch.dtype | None:
    return torch.float32 if device == "cpu" else None
