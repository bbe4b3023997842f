"""From a bundle to engines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from opens2s_core.checkpoint import (
    OPENS2S,
    TOKEN2WAV,
    UNITS_PER_TOKEN,
    load_speech_decoder,
    load_thinker,
    load_token2wav,
    read_vocabulary,
)
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.reference_engine import ReferenceToken2WavEngine
from opens2s_core.inference.slot_lm import LMSettings
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.speech_length import SpeechLimits
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.storage import fetch_directory

Stage = Literal["thinker", "speech_decoder", "token2wav"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """How the engines of a bundle are run. ``token2wav`` streams ``bounded``, at a cost that does not grow with the
    reply, or as published, for comparison: ``reference``."""

    thinker: LMSettings = field(default_factory=LMSettings)
    speech_decoder: LMSettings = field(default_factory=LMSettings)
    token2wav: Literal["bounded", "reference"] = "bounded"


def build_engine(stage: Stage, bundle: str | Path, *, capacity: int, settings: EngineSettings | None = None) -> Engine:
    """The engine of one stage of the bundle, a directory or URL; only that stage's weights are loaded.

    On a GPU the language models keep the type they are stored in; a CPU computes in float32, and so does token2wav.
    How many threads torch may use is the caller's to say, before this.
    """
    settings = settings or EngineSettings()
    device = "cuda" if torch.cuda.is_available() else "cpu"  # a replica without a GPU of its own sees none
    dtype = torch.float32 if device == "cpu" else None
    directory = fetch_directory(bundle)
    opens2s = directory / OPENS2S
    match stage:
        case "thinker":
            thinker = load_thinker(opens2s, dtype).to(device)
            vocabulary = read_vocabulary(opens2s)
            return ThinkerEngine(thinker, vocabulary, capacity=capacity, settings=settings.thinker)
        case "speech_decoder":
            decoder = load_speech_decoder(opens2s, dtype).to(device)
            units = read_vocabulary(opens2s).units
            limits = SpeechLimits(units_per_token=decoder.config.units_per_token or UNITS_PER_TOKEN)
            return SpeechDecoderEngine(
                decoder, units, capacity=capacity, settings=settings.speech_decoder, limits=limits
            )
        case "token2wav":
            flow, vocoder = load_token2wav(directory / TOKEN2WAV, torch.float32)
            engine = Token2WavEngine if settings.token2wav == "bounded" else ReferenceToken2WavEngine
            return engine(flow.to(device), vocoder.to(device), capacity=capacity)
