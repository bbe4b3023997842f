"""Signals with known prosody."""

import numpy as np

from opens2s_core.audio import Waveform


def vowel(rate: int, hertz: np.ndarray) -> Waveform:
    """A buzz with the given f0 at each sample, through a resonance as a vowel has: (n,) → (n,)."""
    phase = np.cumsum(hertz) / rate
    harmonics = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 12))
    return (0.2 * harmonics).astype(np.float32)


def pitch(samples: Waveform, rate: int) -> np.ndarray:
    """f0 of the voiced frames in Hz."""
    import parselmouth

    found = parselmouth.Sound(samples.astype(np.float64), rate).to_pitch_ac(pitch_floor=60, pitch_ceiling=600)
    hertz = found.selected_array["frequency"]
    return hertz[hertz > 0]


def semitones(hertz: np.ndarray) -> np.ndarray:
    return 12 * np.log2(hertz)


def level(samples: Waveform) -> float:
    """RMS in dBFS."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def blocks(rate: int, *parts: tuple[float, float]) -> Waveform:
    """A tone with the given (seconds, amplitude) one after another."""
    return np.concatenate(
        [amplitude * np.sin(0.2 * np.arange(round(seconds * rate))) for seconds, amplitude in parts]
    ).astype(np.float32)
