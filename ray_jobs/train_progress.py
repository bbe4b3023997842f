"""The progress of training as one line, in the process that started it."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from opens2s_core.training.loop import Progress
from ray_jobs.live_line import live_line

_APART_SECONDS = 0.5


class TrainProgress:
    """Sent to the workers: rank 0 reports its steps here, every rank an error that another attempt would repeat."""

    def __init__(self, state: Any) -> None:
        self._state, self._sent = state, 0.0

    def fail(self, error: Exception) -> None:
        ray.get(self._state.fail.remote(str(error)))

    def failure(self) -> str | None:
        """The error of a rank, if any."""
        failure: str | None = ray.get(self._state.failure.remote())
        return failure

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.validation or progress.done == progress.steps or now - self._sent >= _APART_SECONDS:
            self._state.put.remote(progress)
            self._sent = now


@ray.remote(num_cpus=0)
class _State:
    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._validation: Mapping[str, float] = {}
        self._failure: str | None = None

    def fail(self, error: str) -> None:
        self._failure = self._failure or error

    def failure(self) -> str | None:
        return self._failure

    def put(self, progress: Progress) -> None:
        self._progress = progress
        self._validation = progress.validation or self._validation

    def get(self) -> tuple[Progress | None, Mapping[str, float]]:
        return self._progress, self._validation


@contextmanager
def show_training(name: str, steps: int) -> Iterator[TrainProgress]:
    """One line on standard error while the block runs, see :func:`~ray_jobs.live_line.live_line`."""
    # On this node: it is needed as long as this process is there, and other nodes may be lost.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    state: Any = _State.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    line = _ProgressText(name, steps, state)
    with live_line(sys.stderr, line.text):
        yield TrainProgress(state)


class _ProgressText:
    def __init__(self, name: str, steps: int, state: Any) -> None:
        self._name, self._steps, self._state = name, steps, state
        self._first: tuple[float, int] | None = None  # time and steps of the first report of this process

    def text(self) -> str:
        progress, validation = ray.get(self._state.get.remote())
        if progress is None:
            return f"{self._name}  starting workers"
        return describe(self._name, progress, validation, self._seconds_a_step(progress.done))

    def _seconds_a_step(self, done: int) -> float | None:
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        since, before = self._first
        return (now - since) / (done - before) if done > before else None


def describe(name: str, progress: Progress, validation: Mapping[str, float], seconds: float | None) -> str:
    """Steps, losses, speed and time left; ``seconds`` a step, if known."""
    parts = [f"{name}  {progress.done:,}/{progress.steps:,} steps"]
    losses = {key.partition("/")[2]: value for key, value in progress.metrics.items() if key.startswith("loss/")}
    parts += [f"{key} {value:.3f}" for key, value in losses.items()]
    if "loss" in validation:
        parts.append(f"held out {validation['loss']:.3f}")
    if "tokens_per_second" in progress.metrics:
        parts.append(f"{progress.metrics['tokens_per_second']:,.0f} tokens/s")
    if seconds is not None and progress.done < progress.steps:
        minutes, rest = divmod(round(seconds * (progress.steps - progress.done)), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left")
    return "  ".join(parts)
