"""Mono samples and their rate."""

import numpy as np
import torch
import torchaudio.functional
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz. The rate of every encoder's input."""

Waveform = NDArray[np.float32]


def resample(samples: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Whole-signal windowed-sinc resampling (torchaudio's defaults), rates in Hz: (n,) → (⌈n · to / from⌉,)."""
    if from_rate == to_rate or not len(samples):
        return samples
    return torchaudio.functional.resample(torch.from_numpy(samples), from_rate, to_rate).numpy()
