"""The assignment of samples to steps, a pure function of lengths, row groups, seed and epoch.

A step has ``micro_batches_per_step`` micro-batches, one per lane. The workers share the lanes: neither their number nor
resuming changes the result. Samples in files are read by row group. All samples of a row group are in one lane and
close together, so that one worker reads the group, and reads it once.
"""
# n samples of an epoch, g row groups, s windows, b micro-batches, L lanes

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MicroBatch = tuple[int, ...]
"""Indices of the samples that share one forward pass."""
Indices = NDArray[np.int64]

_WINDOW_MICRO_BATCHES = 8
"""Minimum size of a window: of a smaller one, each micro-batch would hold much of every row group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """A micro-batch has at most ``micro_batch_positions`` of the LLM and ``micro_batch_speech_positions`` of the speech
    decoder, summed over its samples; a sample with more of either gets a micro-batch of its own.

    Each lane reads its row groups in windows of ``window_groups``, or of more if that many do not fill 8 micro-batches.
    The samples of a window are shuffled. A worker holds the windows of its lanes in memory.
    """

    micro_batches_per_step: int = 4
    micro_batch_positions: int = 2048
    micro_batch_speech_positions: int = 4096
    window_groups: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    number: int  # from 0, over all epochs
    epoch: int
    micro_batches: tuple[MicroBatch, ...]


class Lengths:
    """What each of n samples takes of a micro-batch."""

    def __init__(self, positions: ArrayLike, speech_positions: ArrayLike) -> None:
        """Positions of the LLM and of the speech decoder, (n,) each."""
        self.positions = np.asarray(positions, dtype=np.int64)
        self.speech_positions = np.asarray(speech_positions, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.positions)

    def ends(self, samples: Indices, config: PlanConfig) -> Indices:
        """For samples in order (m,): where a micro-batch that starts at each of them is full, at least one later."""
        of_llm = _ends(self.positions[samples], config.micro_batch_positions)
        of_speech = _ends(self.speech_positions[samples], config.micro_batch_speech_positions)
        return np.maximum(np.minimum(of_llm, of_speech), np.arange(1, len(samples) + 1))

    def micro_batches(self, members: "_Members", config: PlanConfig) -> NDArray[np.float64]:
        """The micro-batches that each row group fills (g,)."""
        of_llm = members.sums(self.positions) / config.micro_batch_positions
        return np.maximum(of_llm, members.sums(self.speech_positions) / config.micro_batch_speech_positions)


class EpochPlan:
    """The micro-batches of each step of an epoch."""

    def __init__(self, samples: Indices, starts: Indices, table: Indices) -> None:
        """Micro-batch i is ``samples[starts[i] : starts[i + 1]]``; ``table`` (steps, L) has the indices of the
        micro-batches of each step, -1 for an empty one."""
        self._samples, self._starts, self._table = samples, starts, table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, step: int) -> tuple[MicroBatch, ...]:
        return tuple(() if batch < 0 else self._micro_batch(batch) for batch in self._table[step].tolist())

    def __iter__(self) -> Iterator[tuple[MicroBatch, ...]]:
        return (self[step] for step in range(len(self)))

    def _micro_batch(self, number: int) -> MicroBatch:
        return tuple(self._samples[self._starts[number] : self._starts[number + 1]].tolist())


def plan_epoch(
    lengths: Lengths,
    config: PlanConfig,
    epoch: int,
    *,
    groups: ArrayLike | None = None,
    epoch_groups: ArrayLike | None = None,
) -> EpochPlan:
    """All samples once, in random order; empty micro-batches are in the last steps.

    ``groups`` (n,) is the row group of each sample. ``epoch_groups`` are the row groups of this epoch (None: each
    once); a group that occurs twice is read twice. Without groups, or with so few that each worker can hold all of
    them, all samples are in one window that the lanes share.
    """
    rng = np.random.default_rng((config.seed, epoch))
    if groups is None:
        return _plan_shared(np.arange(len(lengths)), lengths, config, rng)
    members = _Members(np.asarray(groups))
    chosen = np.arange(len(members.sizes)) if epoch_groups is None else np.asarray(epoch_groups, dtype=np.int64)
    if len(chosen) <= max(config.window_groups, config.micro_batches_per_step):
        return _plan_shared(members.of(chosen), lengths, config, rng)
    return _plan_lanes(members, chosen, lengths, config, rng)


def plan_steps(
    lengths: Lengths,
    config: PlanConfig,
    *,
    first: int,
    last: int,
    groups: ArrayLike | None = None,
    epoch_groups: Callable[[int, int], ArrayLike] | None = None,
) -> Iterator[Step]:
    """Steps ``first`` to ``last`` (exclusive), epoch after epoch. ``epoch_groups`` maps an epoch and the seed to
    the argument of :func:`plan_epoch`."""
    if not len(lengths):
        raise ValueError("no samples to train on")
    number = epoch = 0
    while number < last:
        chosen = None if epoch_groups is None else epoch_groups(epoch, config.seed)
        plan = plan_epoch(lengths, config, epoch, groups=groups, epoch_groups=chosen)
        for step in range(max(first - number, 0), min(last - number, len(plan))):
            yield Step(number + step, epoch, plan[step])
        number += len(plan)
        epoch += 1


class _Members:
    """The samples of each row group."""

    def __init__(self, groups: NDArray[np.integer]) -> None:
        self._samples = np.argsort(groups, kind="stable")
        self.sizes = np.bincount(groups)
        self._starts = np.cumsum(self.sizes) - self.sizes

    def of(self, groups: Indices) -> Indices:
        """Indices of the samples of some row groups, one group after another."""
        return self._samples[_ranges(self._starts[groups], self.sizes[groups])]

    def sums(self, values: Indices) -> Indices:
        """The sum of the values (n,) of the samples of each row group (g,)."""
        return np.diff(np.concatenate([[0], np.cumsum(values[self._samples])])[np.append(self._starts, len(values))])


def _plan_shared(samples: Indices, lengths: Lengths, config: PlanConfig, rng: np.random.Generator) -> EpochPlan:
    """Plan with one window for all lanes."""
    samples = samples[rng.permutation(len(samples))]
    starts = _cut(lengths.ends(samples, config))
    count, lanes = len(starts), config.micro_batches_per_step
    table = np.full((-(-count // lanes), lanes), -1)
    table.flat[:count] = np.arange(count)
    return EpochPlan(samples, np.append(starts, len(samples)), table)


def _plan_lanes(
    members: _Members, groups: Indices, lengths: Lengths, config: PlanConfig, rng: np.random.Generator
) -> EpochPlan:
    lanes = config.micro_batches_per_step
    groups = rng.permutation(groups)
    filled = lengths.micro_batches(members, config)[groups]
    lane = _deal(filled, lanes, rng)
    by_lane = np.argsort(lane, kind="stable")
    groups, lane = groups[by_lane], lane[by_lane]
    window = _windows(np.bincount(lane, minlength=lanes), _window_size(filled, config))

    samples, sizes = members.of(groups), members.sizes[groups]
    shuffled = np.lexsort((rng.random(len(samples)), np.repeat(window, sizes)))  # within each window
    samples = samples[shuffled]
    ends_of_lanes = np.cumsum(np.bincount(np.repeat(lane, sizes), minlength=lanes))
    # A micro-batch may begin in one window and end in the next one, but not in the next lane.
    ends = np.minimum(lengths.ends(samples, config), np.repeat(ends_of_lanes, np.diff(ends_of_lanes, prepend=0)))
    starts = _cut(ends)
    counts = np.diff(np.searchsorted(starts, ends_of_lanes), prepend=0)
    table = np.full((counts.max(), lanes), -1)
    table[_ranges(np.zeros(lanes, np.int64), counts), np.repeat(np.arange(lanes), counts)] = np.arange(len(starts))
    return EpochPlan(samples, np.append(starts, len(samples)), table)


def _deal(sizes: NDArray[np.float64], lanes: int, rng: np.random.Generator) -> Indices:
    """The random lane of each row group (g,). Of each ``lanes`` consecutive groups in order of size, every lane gets
    one, so the total ``sizes`` of two lanes differ by at most the largest group."""
    rounds = -(-len(sizes) // lanes)
    dealt = rng.permuted(np.tile(np.arange(lanes), (rounds, 1)), axis=1).ravel()
    lane = np.empty(len(sizes), np.int64)
    lane[np.argsort(sizes, kind="stable")] = dealt[len(dealt) - len(sizes) :]
    return lane


def _window_size(filled: NDArray[np.float64], config: PlanConfig) -> int:
    """The number of row groups per window, for the micro-batches that each group fills (g,)."""
    return max(config.window_groups, int(np.ceil(_WINDOW_MICRO_BATCHES / float(filled.mean()))))


def _windows(groups_of_lane: Indices, size: int) -> Indices:
    """The window of each row group (g,), numbered lane by lane; the sizes of a lane's windows differ by at most one."""
    windows = -(-groups_of_lane // size)
    first = np.repeat(np.cumsum(windows) - windows, groups_of_lane)
    within = _ranges(np.zeros_like(groups_of_lane), groups_of_lane)
    return first + within * np.repeat(windows, groups_of_lane) // np.repeat(groups_of_lane, groups_of_lane)


def _ends(lengths: Indices, limit: int) -> Indices:
    """For each of the lengths (m,): the index after the last one up to which they add up to ``limit`` at most."""
    sums = np.cumsum(lengths)
    return np.searchsorted(sums, sums - lengths + limit, side="right")


def _cut(ends: Indices) -> Indices:
    """The starts of the micro-batches (b,); each one ends where ``ends`` (m,) of its first sample says."""
    following, start, starts = ends.tolist(), 0, []
    while start < len(following):
        starts.append(start)
        start = following[start]
    return np.array(starts, dtype=np.int64)


def _ranges(starts: Indices, sizes: Indices) -> Indices:
    """Concatenated ranges ``start, start + 1, …`` of the given sizes."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
