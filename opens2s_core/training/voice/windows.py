"""Random windows of utterances."""

import numpy as np
from numpy.typing import NDArray


def sample_windows(
    rng: np.random.Generator, lengths: NDArray[np.int64], count: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random items (count,) of length at least ``size``, weighted by length, and the start of a window in each.

    The centre of a window is uniform over the item and its start is then clipped, so that the ends of an item are
    sampled often enough.
    """
    chance = np.where(lengths >= size, lengths, 0)
    items = rng.choice(len(lengths), count, p=chance / chance.sum())
    ends = lengths[items]
    return items, np.clip(rng.integers(-(size // 2), ends - size // 2), 0, ends - size)
