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
"""Minimum size of a window. Its last micro-batch is not full, which would waste much of a smaller window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """``micro_batch_positions`` bounds the padded size of a micro-batch (rows × longest row); a longer sample gets a
    micro-batch of its own.

    Each lane reads its row groups in windows of ``window_groups``, or of more if that many do not fill 8 micro-batches.
    The samples of a window are shuffled, and samples of similar lengths share a micro-batch. A worker holds the windows
    of its lanes in memory.
    """

    micro_batches_per_step: int = 4
    micro_batch_positions: int = 2048
    window_groups: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    number: int  # from 0, over all epochs
    epoch: int
    micro_batches: tuple[MicroBatch, ...]


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
    lengths: ArrayLike,
    config: PlanConfig,
    epoch: int,
    *,
    groups: ArrayLike | None = None,
    epoch_groups: ArrayLike | None = None,
) -> EpochPlan:
    """All samples once, in micro-batches of similar lengths; empty micro-batches are in the last steps.

    ``groups`` (n,) is the row group of each sample. ``epoch_groups`` are the row groups of this epoch (None: each
    once); a group that occurs twice is read twice. Without groups, or with so few that each worker can hold all of
    them, all samples are in one window that the lanes share, and the micro-batches of a step are of similar sizes.
    """
    rng = np.random.default_rng((config.seed, epoch))
    of_sample = np.asarray(lengths, dtype=np.int64)
    if groups is None:
        return _plan_shared(np.arange(len(of_sample)), of_sample, config, rng)
    members = _Members(np.asarray(groups))
    chosen = np.arange(len(members.sizes)) if epoch_groups is None else np.asarray(epoch_groups, dtype=np.int64)
    if len(chosen) <= max(config.window_groups, config.micro_batches_per_step):
        return _plan_shared(members.of(chosen), of_sample, config, rng)
    return _plan_lanes(members, chosen, of_sample, config, rng)


def plan_steps(
    lengths: ArrayLike,
    config: PlanConfig,
    *,
    first: int,
    last: int,
    groups: ArrayLike | None = None,
    epoch_groups: Callable[[int, int], ArrayLike] | None = None,
) -> Iterator[Step]:
    """Steps ``first`` to ``last`` (exclusive), epoch after epoch. ``epoch_groups`` maps an epoch and the seed to
    the argument of :func:`plan_epoch`."""
    if not np.size(lengths):
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


def _plan_shared(samples: Indices, lengths: Indices, config: PlanConfig, rng: np.random.Generator) -> EpochPlan:
    """Plan with one window for all lanes."""
    shuffled = samples[rng.permutation(len(samples))]
    ordered = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    starts = _cut(np.zeros(len(ordered), np.int64), lengths[ordered], config.micro_batch_positions)
    count, lanes = len(starts), config.micro_batches_per_step
    whole = count // lanes  # steps without an empty micro-batch
    table = np.full((-(-count // lanes), lanes), -1)
    table.flat[:count] = np.arange(count)
    table[:whole] = table[rng.permutation(whole)]
    return EpochPlan(ordered, np.append(starts, len(ordered)), table)


def _plan_lanes(
    members: _Members, groups: Indices, lengths: Indices, config: PlanConfig, rng: np.random.Generator
) -> EpochPlan:
    lanes = config.micro_batches_per_step
    groups = rng.permutation(groups)
    totals = members.sums(lengths)[groups]
    lane = _deal(totals, lanes, rng)
    by_lane = np.argsort(lane, kind="stable")
    groups, lane = groups[by_lane], lane[by_lane]
    window = _windows(np.bincount(lane, minlength=lanes), _window_size(totals, config))

    samples = members.of(groups)
    window_of_sample = np.repeat(window, members.sizes[groups])
    shuffled = rng.permutation(len(samples))
    samples, window_of_sample = samples[shuffled], window_of_sample[shuffled]
    order = np.argsort(window_of_sample * (lengths.max() + 1) + lengths[samples], kind="stable")
    samples, window_of_sample = samples[order], window_of_sample[order]

    starts = _cut(window_of_sample, lengths[samples], config.micro_batch_positions)
    window_of_batch = window_of_sample[starts]
    shuffled_batches = np.lexsort((rng.random(len(starts)), window_of_batch))  # within each window
    lane_of_window = np.empty(window[-1] + 1, np.int64)
    lane_of_window[window] = lane
    counts = np.bincount(lane_of_window[window_of_batch], minlength=lanes)
    table = np.full((counts.max(), lanes), -1)
    table[_ranges(np.zeros(lanes, np.int64), counts), np.repeat(np.arange(lanes), counts)] = shuffled_batches
    return EpochPlan(samples, np.append(starts, len(samples)), table)


def _deal(totals: Indices, lanes: int, rng: np.random.Generator) -> Indices:
    """The random lane of each row group (g,). Of each ``lanes`` consecutive groups in order of length, every lane gets
    one, so the ``totals`` of two lanes differ by at most the longest group."""
    rounds = -(-len(totals) // lanes)
    dealt = rng.permuted(np.tile(np.arange(lanes), (rounds, 1)), axis=1).ravel()
    lane = np.empty(len(totals), np.int64)
    lane[np.argsort(totals, kind="stable")] = dealt[len(dealt) - len(totals) :]
    return lane


def _window_size(totals: Indices, config: PlanConfig) -> int:
    """The number of row groups per window."""
    filling = _WINDOW_MICRO_BATCHES * config.micro_batch_positions / max(float(totals.mean()), 1)
    return max(config.window_groups, int(np.ceil(filling)))


def _windows(groups_of_lane: Indices, size: int) -> Indices:
    """The window of each row group (g,), numbered lane by lane; the sizes of a lane's windows differ by at most one."""
    windows = -(-groups_of_lane // size)
    first = np.repeat(np.cumsum(windows) - windows, groups_of_lane)
    within = _ranges(np.zeros_like(groups_of_lane), groups_of_lane)
    return first + within * np.repeat(windows, groups_of_lane) // np.repeat(groups_of_lane, groups_of_lane)


def _cut(windows: Indices, lengths: Indices, positions: int) -> Indices:
    """The start indices of the micro-batches (b,), for samples sorted by window and then by length.

    Each micro-batch is filled before the next one starts. Samples of one length and window, a run, are processed
    at once, and all windows in parallel, run by run.
    """
    changes = np.flatnonzero((np.diff(windows) != 0) | (np.diff(lengths) != 0)) + 1
    run_starts = np.concatenate([[0], changes])[: len(lengths)]
    run_sizes = np.diff(np.append(run_starts, len(lengths)))
    capacity = np.maximum(positions // np.maximum(lengths[run_starts], 1), 1)  # rows of a micro-batch
    _, first_run, run_count = np.unique(windows[run_starts], return_index=True, return_counts=True)
    first_start = np.empty_like(run_starts)  # of a micro-batch in the run, counted from the run's start
    rows = np.zeros(len(first_run), np.int64)  # of the micro-batch that is being filled
    for i in range(run_count.max(initial=0)):
        active = np.flatnonzero(run_count > i)
        run = first_run[active] + i
        room = np.where(rows[active] > 0, np.maximum(capacity[run] - rows[active], 0), 0)
        left = run_sizes[run] - room
        rows[active] = np.where(left > 0, (left - 1) % capacity[run] + 1, rows[active] + run_sizes[run])
        first_start[run] = room
    after = _ranges(np.zeros_like(run_starts), run_sizes) - np.repeat(first_start, run_sizes)
    return np.flatnonzero((after >= 0) & (after % np.repeat(capacity, run_sizes) == 0))


def _ranges(starts: Indices, sizes: Indices) -> Indices:
    """Concatenated ranges ``start, start + 1, …`` of the given sizes."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
