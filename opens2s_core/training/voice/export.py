"""Decoder directories of a voice whose flow and vocoder are trained apart.

Each stage writes a whole directory, its own part beside an untrained other; :func:`join_token2wav` takes the trained
part of each.
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
    """A decoder with this flow; its vocoder has learned nothing, and it says so (``trained: false``)."""
    vocoder = seeded(_UNTRAINED_SEED, lambda: Vocoder(config.hift))
    save_token2wav(flow, vocoder, replace(config, trained=False), directory)


def export_vocoder(vocoder: Vocoder, config: Token2WavConfig, directory: Path) -> None:
    """A decoder with this vocoder; its flow has learned nothing, and it says so (``trained: false``)."""
    flow = seeded(_UNTRAINED_SEED, lambda: Flow(config.flow))
    save_token2wav(flow, vocoder, replace(config, trained=False), directory)


def join_token2wav(flow_directory: Path, vocoder_directory: Path, directory: Path, dtype: torch.dtype) -> None:
    """The decoder that speaks, ``trained: true``: the flow of one directory and the vocoder of another."""
    flow, _ = load_token2wav(flow_directory, dtype)
    _, vocoder = load_token2wav(vocoder_directory, dtype)
    save_token2wav(flow, vocoder, Token2WavConfig(flow=flow.config, hift=vocoder.config, trained=True), directory)
