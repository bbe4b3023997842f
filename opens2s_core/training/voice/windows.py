"""Pieces of utterances, drawn at random."""

import numpy as np
from numpy.typing import NDArray


def draw_windows(
    rng: np.random.Generator, lengths: NDArray[np.int64], count: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Items (count,) among those of at least ``size``, long ones more often, and where in each its window begins.

    The middle of a window may lie anywhere, its ends only within: so the first and last of an item get their share.
    """
    chance = np.where(lengths >= size, lengths, 0)
    items = rng.choice(len(lengths), count, p=chance / chance.sum())
    ends = lengths[items]
    return items, np.clip(rng.integers(-(size // 2), ends - size // 2), 0, ends - size)
