"""Loading of the micro-batches of a worker: a thread reads and collates them ahead of the model."""

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
from opens2s_core.training.batch import Batch, EncodedSample, collate
from opens2s_core.training.plan import PlanConfig, Step, plan_steps

_T = TypeVar("_T")
_AHEAD = 4
"""Micro-batches that are ready or in preparation."""


class Samples(Protocol):
    """Prepared samples by index, with their lengths and label counts for planning, (n,) integers each."""

    @property
    def lengths(self) -> ArrayLike: ...

    @property
    def text_labels(self) -> ArrayLike: ...

    @property
    def unit_labels(self) -> ArrayLike: ...

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
class LoadedMicroBatch:
    """A micro-batch of a step, and the label counts of the whole step, at least 1 each."""

    step: int
    lane: int
    last: bool  # the last one of the step on this worker
    batch: Batch
    text_labels: int
    unit_labels: int


def load_micro_batches(
    samples: Samples,
    plan: PlanConfig,
    config: OpenS2SConfig,
    vocabulary: Vocabulary,
    *,
    rank: int,
    world: int,
    first: int,
    last: int,
) -> Iterator[LoadedMicroBatch]:
    """The micro-batches of one worker in steps ``first`` to ``last`` (exclusive). Raises :class:`SampleError`."""
    text_labels, unit_labels = (np.asarray(labels) for labels in (samples.text_labels, samples.unit_labels))
    for step in _steps(samples, plan, first=first, last=last):
        in_step = [index for micro_batch in step.micro_batches for index in micro_batch]
        own = range(rank, len(step.micro_batches), world)
        for lane in own:
            yield LoadedMicroBatch(
                step=step.number,
                lane=lane,
                last=lane == own[-1],
                batch=_load(samples, step.micro_batches[lane], lambda some: collate(some, config, vocabulary)),
                text_labels=max(int(text_labels[in_step].sum()), 1),
                unit_labels=max(int(unit_labels[in_step].sum()), 1),
            )


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
    if not isinstance(samples, GroupedSamples):
        return plan_steps(samples.lengths, plan, first=first, last=last)
    groups, epoch_groups = samples.groups, samples.epoch_groups
    return plan_steps(samples.lengths, plan, first=first, last=last, groups=groups, epoch_groups=epoch_groups)


def _load(
    samples: Samples, indices: Sequence[int], collate_samples: Callable[[Sequence[EncodedSample]], Batch]
) -> Batch:
    encoded = []
    for index in indices:
        try:
            encoded.append(samples[index])
        except Exception as error:
            raise SampleError(f"sample {index}: {error}") from error
    try:
        return collate_samples(encoded)
    except Exception as error:
        raise _explain(indices, encoded, collate_samples, error) from error


def _explain(
    indices: Sequence[int],
    encoded: Sequence[EncodedSample],
    collate_samples: Callable[[Sequence[EncodedSample]], Batch],
    error: Exception,
) -> SampleError:
    """``error`` with the sample that causes it, found by collating each one alone."""
    for index, sample in zip(indices, encoded, strict=True):
        try:
            collate_samples([sample])
        except Exception as own:  # noqa: BLE001  # whatever it is, it is raised
            return SampleError(f"sample {index}{f' ({sample.id})' if sample.id else ''}: {own}")
    return SampleError(f"samples {list(indices)} together: {error}")
