"""Random numbers that belong to a place in a reply, not to the order in which they are asked for."""

import numpy as np
from numpy.typing import NDArray

NoiseKey = tuple[int, int]
"""A reply's seed, at least 0, and what the noise is for."""

_BLOCK = 16
"""Frames drawn together."""


def normal_frames(key: NoiseKey, start: int, stop: int, width: int) -> NDArray[np.float32]:
    """Standard normal values (stop - start, width) of the frames [start, stop) of a reply."""
    first = start // _BLOCK
    blocks = [
        np.random.default_rng((*key, block)).standard_normal((_BLOCK, width), dtype=np.float32)
        for block in range(first, -(-stop // _BLOCK))
    ]
    offset = first * _BLOCK
    return np.concatenate(blocks)[start - offset : stop - offset]
