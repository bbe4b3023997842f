"""The training loop of all stages, in one process or as one rank of many. It needs torch only.

A run is resumable after an interruption at any time, on a CPU to the same bits: see :class:`TrainingTask`.
"""

import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.config import ConfigError
from opens2s_core.storage import new_directory
from opens2s_core.training.checkpoints import RetentionConfig, Writer
from opens2s_core.training.guard import DivergedError, Guard, GuardConfig
from opens2s_core.training.metrics import MetricsLog
from opens2s_core.training.run import Run, RunError
from opens2s_core.training.saving import BackgroundSaver

_ATTEMPTS = 2**24  # exact in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """When a run of ``steps`` steps saves and validates, and what its guard does.

    Without ``validate_every`` it validates at every checkpoint. It does both at the last step, too.
    """

    steps: int
    checkpoint_every: int = 200
    validate_every: int | None = None
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "checkpoint_every", "validate_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: expected at least 1, got {value}")
        if self.retention.best is not None and self.checkpoint_every % self._validate_every:
            raise ConfigError(
                f"checkpoint_every: expected a multiple of validate_every {self.validate_every}, so that the best "
                f"checkpoint is known, got {self.checkpoint_every}"
            )

    @property
    def _validate_every(self) -> int:
        return self.validate_every or self.checkpoint_every

    def saves_at(self, steps: int) -> bool:
        """Whether a checkpoint is saved after ``steps`` steps."""
        return steps % self.checkpoint_every == 0 or steps == self.steps

    def validates_at(self, steps: int) -> bool:
        return steps % self._validate_every == 0 or steps == self.steps


class TrainingTask(Protocol):
    """What is trained: models, optimizers and data on one rank of ``world``.

    All ranks call the methods in the same order, and a method may use collectives. Step ``number`` depends on the
    state, the configuration and ``number`` alone: batch and random numbers are functions of (seed, number).
    """

    name: str
    rank: int
    world: int

    def step(self, number: int) -> dict[str, float]:
        """One optimisation step, ``number`` from 0.

        Numbers ascend by 1, with two exceptions: after :meth:`load` they continue at any number, and a step that is
        left out is never asked for. Data that is loaded ahead must follow.

        Returns metrics, the same on all ranks: ``loss``, its parts as ``loss/PART``, ``gradient_norm`` and
        ``learning_rate`` (or ``learning_rate/GROUP``); where known ``data_seconds``, the time that it waited for data,
        ``tokens_per_second`` and others. The loop adds ``step_seconds``.
        """
        ...

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """This rank's share of the state by name, each name on one rank: weights in float32, buffers, optimizer states
        by the names of their parameters. Tensors may be on any device and are copied at once."""
        ...

    def load(self, state: Mapping[str, LazyTensor]) -> None:
        """Restore a state that any number of ranks saved, of all names; a rank reads what it needs.

        Raises :class:`CheckpointError` if names or shapes are not those of this task.
        """
        ...

    def validate(self, steps: int) -> dict[str, float]:
        """Metrics on held-out data after ``steps`` steps, the same on all ranks, with the names of :meth:`step` where
        they mean the same; none without such data. The state does not change."""
        ...

    def reduce(self, values: list[float]) -> list[float]:
        """The sums over all ranks, exact for whole numbers below 2^24; for one process the values themselves."""
        ...

    def export(self, directory: Path | None) -> None:
        """Write the trained model in the layout for serving. Rank 0 writes, other ranks get None."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step."""

    done: int  # steps
    steps: int
    metrics: Mapping[str, float]  # of the step; empty for a step that is left out
    validation: Mapping[str, float]  # empty if there was none


def train(
    task: TrainingTask,
    config: RunConfig,
    run: Run,
    *,
    on_step: Callable[[Progress], None] = lambda progress: None,
    wandb: bool = False,
) -> None:
    """Train to ``config.steps`` and publish the export. All ranks call it; ``on_step`` is called on each.

    A finished run is not changed. An unfinished one resumes from its last checkpoint. At a step that diverges the run
    stops with :class:`DivergedError` or leaves the step out, see :class:`GuardConfig`. Raises
    :class:`CheckpointError` for a damaged checkpoint or one of another task.
    """
    finished = _from_first(task, lambda: float(run.is_finished()))
    if not finished:
        _Training(task, config, run, on_step, wandb).run()


class _Training:
    """One call of :func:`train`."""

    def __init__(
        self, task: TrainingTask, config: RunConfig, run: Run, on_step: Callable[[Progress], None], wandb: bool
    ) -> None:
        self._task, self._config, self._run, self._on_step, self._wandb = task, config, run, on_step, wandb
        self._guard = Guard(config.guard)
        self._log: MetricsLog | None = None  # on rank 0

    def run(self) -> None:
        task, run = self._task, self._run
        attempt = int(_from_first(task, lambda: float(secrets.randbelow(_ATTEMPTS))))
        _on_first(task, run.checkpoints.remove_incomplete)
        self._skipped = run.read_skipped()
        first = self._load_latest()
        with ExitStack() as stack:
            _on_first(task, lambda: self._open_log(stack, first or 0))
            self._saver = stack.enter_context(
                BackgroundSaver(
                    run.checkpoints,
                    Writer(rank=task.rank, world=task.world, attempt=attempt),
                    task.reduce,
                    self._config.retention,
                    before_publish=self._upload_log,
                )
            )
            if first is None and self._config.guard.policy == "skip":
                self._save(0, {})  # to return to before the first checkpoint
            done = first or 0
            while done < self._config.steps:
                done = self._step(done)
            self._saver.drain()
            self._export()

    def _step(self, number: int) -> int:
        """Do step ``number``; returns the number of steps done."""
        step = number + 1
        metrics: dict[str, float] = {}
        if step not in self._skipped:
            started = time.perf_counter()
            metrics = dict(self._task.step(number))
            metrics["step_seconds"] = time.perf_counter() - started
            if problem := self._guard.problem(metrics):
                return self._diverged(step, problem)
        validation = self._task.validate(step) if self._config.validates_at(step) else {}
        if self._log is not None and (metrics or validation):
            self._log.write(step, metrics | {f"validation/{name}": value for name, value in validation.items()})
        self._saver.poll()
        if self._config.saves_at(step):
            self._save(step, validation)
        self._on_step(Progress(step, self._config.steps, metrics, validation))
        return step

    def _diverged(self, step: int, problem: str) -> int:
        """Stop, or return to the last checkpoint; returns the number of its steps."""
        task, guard = self._task, self._config.guard
        self._saver.drain()
        message = f"{task.name}: step {step}: {problem}"
        if guard.policy == "stop":
            raise DivergedError(message)
        if len(self._skipped) >= guard.most_skipped:
            raise DivergedError(f"{message}; {len(self._skipped)} steps are left out already, the most there may be")
        self._skipped[step] = problem
        _on_first(task, lambda: self._run.write_skipped(self._skipped))
        steps = self._load_latest()
        assert steps is not None, "the initial state is saved"
        if task.rank == 0:
            warnings.warn(f"{message}; resuming after step {steps}, step {step} is left out", stacklevel=2)
        if self._log is not None:
            self._log.rewind(steps)
        return steps

    def _load_latest(self) -> int | None:
        """Load the last checkpoint; returns the number of its steps, None if there is none."""
        task, store = self._task, self._run.checkpoints
        steps = int(_from_first(task, lambda: float(max(store.steps(), default=-1))))
        if steps < 0:
            return None
        if steps > self._config.steps:
            raise RunError(f"{self._run.folder.url}: expected at most {self._config.steps} steps, {steps} are done")
        checkpoint = store.read(steps)
        with checkpoint.open() as tensors:
            try:
                task.load(tensors)
            except CheckpointError as error:
                raise CheckpointError(f"{checkpoint.folder.url}: {error}") from error
            task.reduce([0.0])  # until no rank reads them any more
        self._guard = Guard(self._config.guard, checkpoint.state.get("recent_losses", ()))
        return steps

    def _save(self, steps: int, validation: Mapping[str, float]) -> None:
        self._saver.save(steps, self._task.state(), validation, {"recent_losses": self._guard.recent})

    def _open_log(self, stack: ExitStack, first: int) -> None:
        self._log = stack.enter_context(MetricsLog(self._run, first, wandb=self._wandb))

    def _upload_log(self) -> None:
        if self._log is not None:
            self._log.upload()

    def _export(self) -> None:
        if self._log is not None:
            self._log.plot()
            self._log.upload()
        error: Exception | None = None
        try:
            directory: Any = new_directory(self._run.export) if self._task.rank == 0 else nullcontext()
            with directory as target:
                self._task.export(target)
        except Exception as raised:  # noqa: BLE001 it is raised below, after the other ranks know
            error = raised
        _agree(self._task, error)  # before it is published the run is finished on no rank


def _from_first(task: TrainingTask, value: Callable[[], float]) -> float:
    """The value of rank 0, on all ranks."""
    values: list[float] = []
    _on_first(task, lambda: values.append(value()))
    return task.reduce(values or [0.0])[0]


def _on_first(task: TrainingTask, action: Callable[[], None]) -> None:
    """Run ``action`` on rank 0 while the others wait. If it fails, all ranks raise."""
    error: Exception | None = None
    if task.rank == 0:
        try:
            action()
        except Exception as raised:  # noqa: BLE001 it is raised below, after the other ranks know
            error = raised
    _agree(task, error)


def _agree(task: TrainingTask, error: Exception | None) -> None:
    """Raise the error of a rank on all ranks, once all have arrived."""
    failed = task.reduce([float(error is not None)])[0]
    if error is not None:
        raise error
    if failed:
        raise RunError(f"{task.name}: another rank failed")
