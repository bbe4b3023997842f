"""Codebook usage of a speech tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CodebookUsage:
    alive: float  # per cent of the codes that occur at all
    perplexity: float  # as many equally frequent codes would carry as much information


def codebook_usage(units: Sequence[NDArray[np.int64]], size: int) -> CodebookUsage:
    """Of utterances' units (N,), at least one in all, in [0, size)."""
    counts = np.bincount(np.concatenate(units), minlength=size)
    shares = counts[counts > 0] / counts.sum()
    return CodebookUsage(100 * len(shares) / size, float(np.exp(-(shares * np.log(shares)).sum())))
