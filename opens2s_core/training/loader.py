"""Loading of the steps of a worker: a thread reads and collates them ahead of the model."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.training.batch import Augment, Batch, ClipAugmentation, CollateConfig, EncodedSample, collate
from opens2s_core.training.plan import Lengths, PlanConfig, Step, plan_epoch, plan_steps

_T = TypeVar("_T")
_AHEAD = 2
"""Steps that are ready or in preparation."""


class Samples(Protocol):
    """Prepared samples by index, with the positions of each for planning, (n,) integers."""

    @property
    def lengths(self) -> ArrayLike:
        """Positions of the LLM."""
        ...

    @property
    def speech_lengths(self) -> ArrayLike:
        """Positions of the speech decoder."""
        ...

    def __getitem__(self, index: int) -> EncodedSample: ...


@runtime_checkable
class GroupedSamples(Samples, Protocol):
    """Samples that are read by row group."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """The row group of each sample, (n,), numbered from 0."""
        ...

    def epoch_groups(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """The row groups of an epoch; a group that occurs twice is read twice."""
        ...


class SampleError(ValueError):
    """A sample that cannot be read or collated; the message has its index and, if it has one, its id."""


@dataclass(frozen=True, slots=True)
class LoadedStep:
    """A worker's part of a step."""

    number: int  # from 0, over all epochs
    epoch: int
    micro_batches: tuple[tuple[int, Batch], ...]  # each with its lane


def worker_lanes(plan: PlanConfig, world: int) -> int:
    """Micro-batches of a step on each of ``world`` workers."""
    return -(-plan.micro_batches_per_step // world)


def load_steps(
    samples: Samples,
    plan: PlanConfig,
    config: OpenS2SConfig,
    vocabulary: Vocabulary,
    *,
    rank: int,
    world: int,
    first: int,
    last: int,
    settings: CollateConfig = CollateConfig(),  # noqa: B008  # it is frozen
    augmentation: ClipAugmentation | None = None,
) -> Iterator[LoadedStep]:
    """The parts of one worker in steps ``first`` to ``last`` (exclusive). Raises :class:`SampleError`.

    The random numbers of ``augmentation`` depend on ``plan.seed``, the epoch, the sample and the clip.
    """
    for step in _steps(samples, plan, first=first, last=last):

        def collate_some(indices: Sequence[int], some: Sequence[EncodedSample], epoch: int = step.epoch) -> Batch:
            augment = None if augmentation is None else Augment(augmentation, plan.seed, epoch, indices)
            return collate(some, config, vocabulary, settings, augment)

        # All workers have as many lanes: those after the last one are empty.
        lanes = range(rank, worker_lanes(plan, world) * world, world)
        planned = dict(enumerate(step.micro_batches))
        own = tuple((lane, _load(samples, planned.get(lane, ()), collate_some)) for lane in lanes)
        yield LoadedStep(step.number, step.epoch, own)


def epoch_steps(samples: Samples, plan: PlanConfig) -> int:
    """Steps of the first epoch."""
    groups = samples.groups if isinstance(samples, GroupedSamples) else None
    chosen = samples.epoch_groups(0, plan.seed) if isinstance(samples, GroupedSamples) else None
    lengths = Lengths(samples.lengths, samples.speech_lengths)
    return len(plan_epoch(lengths, plan, 0, groups=groups, epoch_groups=chosen))


@contextmanager
def load_ahead(items: Iterator[_T], depth: int = _AHEAD) -> Iterator[Iterator[_T]]:
    """The same items, of which a thread computes up to ``depth`` ahead. The thread ends with the block.

    An exception of an item is raised by the ``next`` that would return it.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="loader") as thread:
        pending: deque[Future[_T | object]] = deque(thread.submit(next, items, end) for _ in range(depth))

        def results() -> Iterator[_T]:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, items, end))
                yield item  # type: ignore[misc]

        try:
            yield results()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)


def _steps(samples: Samples, plan: PlanConfig, *, first: int, last: int) -> Iterator[Step]:
    lengths = Lengths(samples.lengths, samples.speech_lengths)
    if not isinstance(samples, GroupedSamples):
        return plan_steps(lengths, plan, first=first, last=last)
    groups, epoch_groups = samples.groups, samples.epoch_groups
    return plan_steps(lengths, plan, first=first, last=last, groups=groups, epoch_groups=epoch_groups)


_Collate = Callable[[Sequence[int], Sequence[EncodedSample]], Batch]
"""Collates samples with their indices."""


def _load(samples: Samples, indices: Sequence[int], collate_some: _Collate) -> Batch:
    encoded = []
    for index in indices:
        try:
            encoded.append(samples[index])
        except Exception as error:
            raise SampleError(f"sample {index}: {error}") from error
    try:
        return collate_some(indices, encoded)
    except Exception as error:
        raise _explain(indices, encoded, collate_some, error) from error


def _explain(
    indices: Sequence[int], encoded: Sequence[EncodedSample], collate_some: _Collate, error: Exception
) -> SampleError:
    """``error`` with the sample that causes it, found by collating each one alone."""
    for index, sample in zip(indices, encoded, strict=True):
        try:
            collate_some([index], [sample])
        except Exception as own:  # noqa: BLE001  # whatever it is, it is raised
            return SampleError(f"sample {index}{f' ({sample.id})' if sample.id else ''}: {own}")
    return SampleError(f"samples {list(indices)} together: {error}")
