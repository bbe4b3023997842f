"""Distance between speech and the recording it reproduces, frame by frame; both begin at the same moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Pitch = NDArray[np.float32]
"""Hz of each frame (F,), 0 where there is none."""


@dataclass(frozen=True, slots=True)
class PitchErrors:
    """Over the frames of all sentences together; ``cents`` is None where no frame is voiced in both."""

    cents: float | None  # root mean square over the frames voiced in both
    voicing: float  # per cent of frames voiced in one alone


def mel_distance(mel: Tensor, recorded: Tensor) -> float:
    """Mean absolute difference of two log-mels (mel, F) over the frames they share, in nepers."""
    frames = min(mel.shape[1], recorded.shape[1])
    return float((mel[:, :frames] - recorded[:, :frames]).abs().mean())


def pitch_errors(spoken: Sequence[Pitch], recorded: Sequence[Pitch]) -> PitchErrors:
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in zip(spoken, recorded, strict=True)]
    ours = np.concatenate([a for a, _ in pairs])
    theirs = np.concatenate([b for _, b in pairs])
    both = (ours > 0) & (theirs > 0)
    cents = 1200 * np.log2(ours[both].astype(np.float64) / theirs[both])
    return PitchErrors(
        cents=float(np.sqrt(np.mean(cents**2))) if both.any() else None,
        voicing=100 * float(np.mean((ours > 0) != (theirs > 0))),
    )
