"""Random numbers as a function of the position in a reply, independent of the order of computation."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class RngStream(IntEnum):
    """The independent streams of random numbers of one reply, by purpose."""

    FLOW = 0
    SOURCE = 1
    PHASE = 2
    TEXT = 3
    UNITS = 4


NoiseKey = tuple[int, RngStream]
"""The seed of a reply, at least 0, and the stream of random numbers."""

_BLOCK = 16
"""Frames generated together."""


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
    """The number in [0, 1) with which the token at ``index`` of a reply is sampled."""
    return float(np.random.default_rng((*key, index)).random())
