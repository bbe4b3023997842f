"""From a bundle to engines."""

from pathlib import Path
from typing import Literal

import torch

from opens2s_core.checkpoint import (
    OPENS2S,
    TOKEN2WAV,
    load_speech_decoder,
    load_thinker,
    load_token2wav,
    read_vocabulary,
)
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.storage import fetch_directory

Stage = Literal["thinker", "speech_decoder", "token2wav"]


def build_engine(stage: Stage, bundle: str | Path, *, capacity: int) -> Engine:
    """The engine of one stage of the bundle, a directory or URL; only that stage's weights are loaded.

    On a GPU the language models keep the type they are stored in; a CPU computes in float32, and so does token2wav.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"  # a replica without a GPU of its own sees none
    dtype = torch.float32 if device == "cpu" else None
    directory = fetch_directory(bundle)
    opens2s = directory / OPENS2S
    match stage:
        case "thinker":
            thinker = load_thinker(opens2s, dtype).to(device)
            return ThinkerEngine(thinker, read_vocabulary(opens2s), capacity=capacity)
        case "speech_decoder":
            decoder = load_speech_decoder(opens2s, dtype).to(device)
            return SpeechDecoderEngine(decoder, read_vocabulary(opens2s).units, capacity=capacity)
        case "token2wav":
            flow, vocoder = load_token2wav(directory / TOKEN2WAV, torch.float32)
            return Token2WavEngine(flow.to(device), vocoder.to(device), capacity=capacity)
