"""Mono samples and their rate."""

from functools import lru_cache

import numpy as np
import torch
import torchaudio.transforms
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz. The rate of every encoder's input."""

Waveform = NDArray[np.float32]


def resample(samples: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Whole-signal windowed-sinc resampling (torchaudio's defaults), rates in Hz: (n,) → (⌈n · to / from⌉,)."""
    if from_rate == to_rate or not len(samples):
        return samples
    resampled: Waveform = _resampler(from_rate, to_rate)(torch.from_numpy(samples)).numpy()
    return resampled


@lru_cache(maxsize=4)
def _resampler(from_rate: int, to_rate: int) -> torchaudio.transforms.Resample:
    """Its filters take longer to compute than a clip of seconds to resample."""
    return torchaudio.transforms.Resample(from_rate, to_rate, dtype=torch.float32)
