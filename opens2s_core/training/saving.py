"""Checkpoints written in the background by all ranks of a run."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.training.checkpoints import CheckpointStore, RetentionConfig, Writer

Reduce = Callable[[list[float]], list[float]]
"""Sums numbers over all ranks; every rank calls it and gets the sums."""


@dataclass(slots=True)
class _Pending:
    steps: int
    metrics: Mapping[str, float]
    state: Mapping[str, Any]
    written: Future[None]  # this rank's share
    published: Future[None] | None = None  # on rank 0

    def error(self) -> BaseException | None:
        futures = [self.written] if self.published is None else [self.written, self.published]
        return next((error for future in futures if future.done() and (error := future.exception())), None)


class BackgroundSaver:
    """Saves checkpoints while training continues; all ranks call its methods in the same order.

    At most one checkpoint is being written. Ranks agree by sums over all of them: once every rank has written its
    share, rank 0 publishes the checkpoint and removes old ones; the next :meth:`poll` that finds it published ends the
    save on all ranks. ``before_publish`` is called in the background on rank 0. An error on any rank is raised on all.

    As a context manager it waits for the last save. If an exception ends the block, only a single process can complete
    it, because the other ranks may not answer any more.
    """

    def __init__(
        self,
        store: CheckpointStore,
        writer: Writer,
        reduce: Reduce,
        retention: RetentionConfig,
        before_publish: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._writer, self._reduce, self._retention = store, writer, reduce, retention
        self._before_publish = before_publish
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._pending: _Pending | None = None

    def save(
        self,
        steps: int,
        tensors: Iterable[tuple[str, Tensor]],
        metrics: Mapping[str, float],
        state: Mapping[str, Any],
    ) -> None:
        """Copy ``tensors``, this rank's share, to the CPU and write them in the background.

        Waits for the previous save before it copies, so that there is one copy at a time.
        """
        self.drain()
        snapshot: dict[str, Tensor] = {}
        for name, tensor in tensors:
            if name in snapshot:
                raise CheckpointError(f"expected each tensor once, got {name} again")
            snapshot[name] = tensor.detach().to("cpu", copy=True)
        written = self._thread.submit(self._store.write, steps, self._writer, snapshot)
        self._pending = _Pending(steps, dict(metrics), dict(state), written)

    def poll(self) -> None:
        """Advance the pending save, if any, without waiting for it."""
        pending = self._pending
        if pending is None:
            return
        written = pending.written.done()
        published = pending.published is not None and pending.published.done()
        error = pending.error()
        sums = self._reduce([float(written), float(published), float(error is not None)])
        if sums[2]:
            self._pending = None
            raise error or CheckpointError(f"the checkpoint of step {pending.steps} failed on another rank")
        if sums[1]:
            self._pending = None
        elif sums[0] == self._writer.world and self._writer.rank == 0 and pending.published is None:
            pending.published = self._thread.submit(self._publish, pending)

    def drain(self) -> None:
        """Wait until no save is pending."""
        while (pending := self._pending) is not None:
            wait([pending.published or pending.written])
            self.poll()

    def __enter__(self) -> "BackgroundSaver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.drain()
            elif self._writer.world == 1:
                with suppress(Exception):  # the error of the block is the one to raise
                    self.drain()
        finally:
            self._thread.shutdown()

    def _publish(self, pending: _Pending) -> None:
        self._before_publish()
        self._store.publish(pending.steps, self._writer, pending.metrics, pending.state)
        self._store.prune(self._retention)
