"""Checks of the audio that servers return."""

import numpy as np

from data_pipeline.records import RejectedRow
from data_pipeline.steps.filters import SILENCE
from opens2s_core.audio import Waveform

_SHORTEST = 0.1
"""Seconds. Shorter audio has no word in it."""


def check_speech(samples: Waveform, rate: int, url: str) -> None:
    """Raises :class:`RejectedRow` (``bad audio``) where a server's answer is too short or silent."""
    seconds = len(samples) / rate
    if seconds < _SHORTEST:
        raise RejectedRow(f"bad audio: {url} returned {seconds:.3f} s, expected at least {_SHORTEST:g} s of speech")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise RejectedRow(f"bad audio: {url} returned silence (peak {peak:.2g}), expected speech")
