"""Random numbers that belong to a place in a reply, not to the order in which they are asked for."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Use(IntEnum):
    """What random numbers are for; every use has its own."""

    FLOW = 0
    SOURCE = 1
    PHASE = 2
    TEXT = 3
    UNITS = 4


NoiseKey = tuple[int, Use]
"""A reply's seed, at least 0, and the use."""

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


def uniform(key: NoiseKey, index: int) -> float:
    """The number in [0, 1) that chooses the token at ``index`` of a reply."""
    return float(np.random.default_rng((*key, index)).random())
