"""Export of decoder directories from the separate training stages of flow and vocoder.

Each stage writes a complete directory with the other part untrained; :func:`join_token2wav` combines the trained parts.
"""

from dataclasses import replace
from pathlib import Path

import torch

from opens2s_core.checkpoint.token2wav import load_token2wav, save_token2wav
from opens2s_core.config import Token2WavConfig
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder
from opens2s_core.training.voice.stage import seeded

_UNTRAINED_SEED = 0


def export_flow(flow: Flow, config: Token2WavConfig, directory: Path) -> None:
    """Write a decoder with this flow and an untrained vocoder (``trained: false``)."""
    vocoder = seeded(_UNTRAINED_SEED, lambda: Vocoder(config.hift))
    save_token2wav(flow, vocoder, replace(config, trained=False), directory)


def export_vocoder(vocoder: Vocoder, config: Token2WavConfig, directory: Path) -> None:
    """Write a decoder with this vocoder and an untrained flow (``trained: false``)."""
    flow = seeded(_UNTRAINED_SEED, lambda: Flow(config.flow))
    save_token2wav(flow, vocoder, replace(config, trained=False), directory)


def join_token2wav(flow_directory: Path, vocoder_directory: Path, directory: Path, dtype: torch.dtype) -> None:
    """Write a decoder with the flow of one directory and the vocoder of another (``trained: true``)."""
    flow, _ = load_token2wav(flow_directory, dtype)
    _, vocoder = load_token2wav(vocoder_directory, dtype)
    save_token2wav(flow, vocoder, Token2WavConfig(flow=flow.config, hift=vocoder.config, trained=True), directory)
