"""The assignment of samples to steps, a pure function of lengths, seed and epoch.

A step has ``micro_batches_per_step`` micro-batches, which the workers share: neither their number nor resuming changes
the result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MicroBatch = tuple[int, ...]
"""Indices of the samples that share one forward pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """``micro_batch_positions`` bounds the padded size of a micro-batch (rows × longest row); a longer sample gets a
    micro-batch of its own."""

    micro_batches_per_step: int = 4
    micro_batch_positions: int = 2048
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    number: int  # from 0, over all epochs
    epoch: int
    micro_batches: tuple[MicroBatch, ...]


def plan_epoch(lengths: Sequence[int], config: PlanConfig, epoch: int) -> list[tuple[MicroBatch, ...]]:
    """All samples once, in micro-batches of similar lengths; the micro-batches of a step are of similar sizes, and the
    steps in random order."""
    rng = np.random.default_rng((config.seed, epoch))
    shuffled = rng.permutation(len(lengths))
    by_length = sorted(shuffled.tolist(), key=lambda index: lengths[index])
    micro_batches: list[MicroBatch] = []
    current: list[int] = []
    for index in by_length:  # ascending, so the new sample is the longest
        if current and (len(current) + 1) * lengths[index] > config.micro_batch_positions:
            micro_batches.append(tuple(current))
            current = []
        current.append(index)
    if current:
        micro_batches.append(tuple(current))
    size = config.micro_batches_per_step
    micro_batches += [()] * (-len(micro_batches) % size)
    steps = [tuple(micro_batches[i : i + size]) for i in range(0, len(micro_batches), size)]
    return [steps[i] for i in rng.permutation(len(steps))]


def plan_steps(lengths: Sequence[int], config: PlanConfig, *, first: int, last: int) -> Iterator[Step]:
    """Steps ``first`` to ``last`` (exclusive), epoch after epoch."""
    if not lengths:
        raise ValueError("no samples to train on")
    number = epoch = 0
    while number < last:
        for micro_batches in plan_epoch(lengths, config, epoch):
            if first <= number < last:
                yield Step(number, epoch, micro_batches)
            number += 1
        epoch += 1
