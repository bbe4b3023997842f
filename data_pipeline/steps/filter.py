"""Turns from which nothing good is learned."""

import numpy as np

from data_pipeline.steps.decode import DecodedTurn
from data_pipeline.steps.rejects import Unusable
from opens2s_core.audio import SAMPLE_RATE

SILENCE = 1e-3
"""Peak below which a waveform in [-1, 1] holds no speech (-60 dB)."""


def check_turn(turn: DecodedTurn, *, min_seconds: float) -> DecodedTurn:
    """The turn itself. Raises :class:`Unusable` where a sound is too short or silent, or the reply has no words."""
    if not turn.reply_text.strip():
        raise Unusable("empty reply text")
    for who, samples in (("user", turn.user), ("reply", turn.reply)):
        seconds = len(samples) / SAMPLE_RATE
        if seconds < min_seconds:
            raise Unusable(f"{who} audio too short: {seconds:.2f} s, expected at least {min_seconds:g} s")
        if (peak := float(np.abs(samples).max())) < SILENCE:
            raise Unusable(f"silent {who} audio: peak {peak:.1e}, expected at least {SILENCE:g}")
    return turn
