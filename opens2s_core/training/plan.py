"""Which samples make which step: a pure function of lengths, seed and epoch.

A step is ``packs_per_step`` packs, whatever the number of workers: each takes its share, so that neither their number
nor a resume changes what is learned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Pack = tuple[int, ...]
"""Indices of the samples that share one forward pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """``pack_positions`` bounds a pack's padded size (rows × longest row); a longer sample is alone in its pack."""

    packs_per_step: int = 4
    pack_positions: int = 2048
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    number: int  # from 0, over all epochs
    epoch: int
    packs: tuple[Pack, ...]


def plan_epoch(lengths: Sequence[int], config: PlanConfig, epoch: int) -> list[tuple[Pack, ...]]:
    """All samples once, in packs of neighbours in length; steps in random order, the packs of one alike in size."""
    rng = np.random.default_rng((config.seed, epoch))
    shuffled = rng.permutation(len(lengths))
    by_length = sorted(shuffled.tolist(), key=lambda index: lengths[index])
    packs: list[Pack] = []
    current: list[int] = []
    for index in by_length:  # ascending, so the newcomer is always the longest
        if current and (len(current) + 1) * lengths[index] > config.pack_positions:
            packs.append(tuple(current))
            current = []
        current.append(index)
    if current:
        packs.append(tuple(current))
    size = config.packs_per_step
    packs += [()] * (-len(packs) % size)
    steps = [tuple(packs[i : i + size]) for i in range(0, len(packs), size)]
    return [steps[i] for i in rng.permutation(len(steps))]


def plan_steps(lengths: Sequence[int], config: PlanConfig, *, first: int, last: int) -> Iterator[Step]:
    """Steps ``first`` to ``last`` (exclusive), epoch after epoch."""
    if not lengths:
        raise ValueError("no samples to train on")
    number = epoch = 0
    while number < last:
        for packs in plan_epoch(lengths, config, epoch):
            if first <= number < last:
                yield Step(number, epoch, packs)
            number += 1
        epoch += 1
