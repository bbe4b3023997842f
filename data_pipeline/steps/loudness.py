"""Loudness by ITU-R BS.1770, and clips at a set loudness."""

import math
from dataclasses import dataclass

import torch
from torchaudio.functional import loudness

from opens2s_core.audio import SAMPLE_RATE, Waveform

_BLOCK = SAMPLE_RATE * 4 // 10
"""Samples in a measuring block of BS.1770. Shorter clips have no loudness."""
_HEADROOM = 0.5
"""Peak of what is measured: torchaudio's filters add up to 4 dB and clip their output at 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoudnessConfig:
    """The loudness of every clip in LUFS (ITU-R BS.1770), and the peak in dBFS that no sample may exceed: a clip
    with higher peaks gets a lower loudness."""

    target: float = -23.0
    peak: float = -1.0

    def __post_init__(self) -> None:
        if not (-70 < self.target < 0 and self.peak <= 0):
            raise ValueError(
                f"expected -70 < target < 0 and peak <= 0, got target={self.target:g} and peak={self.peak:g}"
            )


def measure_loudness(samples: Waveform) -> float | None:
    """LUFS of a 16 kHz waveform (n,). None where it has none: it is shorter than 0.4 s or below the gate of -70 LUFS,
    as silence is."""
    if len(samples) < _BLOCK:
        return None
    scale = _HEADROOM / max(_HEADROOM, float(abs(samples).max()))
    measured = float(loudness(torch.from_numpy(samples * samples.dtype.type(scale))[None], SAMPLE_RATE))
    return measured - 20 * math.log10(scale) if math.isfinite(measured) else None


def set_loudness(samples: Waveform, config: LoudnessConfig) -> Waveform:
    """A 16 kHz waveform (n,) at the configured loudness. One that has no loudness stays as it is."""
    measured = measure_loudness(samples)
    if measured is None:
        return samples
    gain = 10 ** ((config.target - measured) / 20)
    highest = 10 ** (config.peak / 20) / float(abs(samples).max())
    return samples * samples.dtype.type(min(gain, highest))
