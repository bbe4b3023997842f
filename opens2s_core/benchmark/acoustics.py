"""Frame-wise distances between speech and the recording that it reproduces, aligned at their start."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Pitch = NDArray[np.float32]
"""Hz of each frame (F,), 0 if unvoiced."""


@dataclass(frozen=True, slots=True)
class PitchErrors:
    """Errors over the frames of all sentences; ``cents`` is None if no frame is voiced in both."""

    cents: float | None  # root mean square over the frames voiced in both
    voicing: float  # per cent of frames voiced in only one


def mel_distance(mel: Tensor, recorded: Tensor) -> float:
    """Mean absolute difference of two log-mels (mel, F) over their common frames, in nepers."""
    frames = min(mel.shape[1], recorded.shape[1])
    return float((mel[:, :frames] - recorded[:, :frames]).abs().mean())


def pitch_errors(synthesised: Sequence[Pitch], recorded: Sequence[Pitch]) -> PitchErrors:
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in zip(synthesised, recorded, strict=True)]
    ours = np.concatenate([a for a, _ in pairs])
    theirs = np.concatenate([b for _, b in pairs])
    both = (ours > 0) & (theirs > 0)
    cents = 1200 * np.log2(ours[both].astype(np.float64) / theirs[both])
    return PitchErrors(
        cents=float(np.sqrt(np.mean(cents**2))) if both.any() else None,
        voicing=100 * float(np.mean((ours > 0) != (theirs > 0))),
    )
