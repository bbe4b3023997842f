"""Codebook usage of a speech tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CodebookUsage:
    alive: float  # per cent of the codes that occur
    perplexity: float  # effective number of codes


def codebook_usage(units: Sequence[NDArray[np.int64]], size: int) -> CodebookUsage:
    """Usage of a codebook of ``size`` by units (N,) of utterances, at least one in total."""
    counts = np.bincount(np.concatenate(units), minlength=size)
    shares = counts[counts > 0] / counts.sum()
    return CodebookUsage(100 * len(shares) / size, float(np.exp(-(shares * np.log(shares)).sum())))
