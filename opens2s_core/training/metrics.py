"""Metrics of every step of a run: ``metrics.jsonl``, TensorBoard and, on request, Weights & Biases.

Names with a slash form a group: ``loss/text``, ``learning_rate/adapter``. Those of validation begin with
``validation/``. Steps count from 1: the metrics of step 100 are those of the step before checkpoint ``step-00000100``.
"""

import json
import math
import tempfile
import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from opens2s_core.training.curves import plot_curves
from opens2s_core.training.folder import Folder
from opens2s_core.training.run import IDENTITY, Run

METRICS, TENSORBOARD, CURVES = "metrics.jsonl", "tensorboard", "curves.png"
_WANDB_PROJECT = "opens2s"


def read_metrics(run: Run) -> list[dict[str, float]]:
    """The metrics of each step, with the step under ``step``; a value that was not finite is NaN."""
    try:
        return _parse(run.folder.read(METRICS))
    except FileNotFoundError:
        return []


class MetricsLog:
    """Writes the metrics of the steps after ``first``; what an earlier process wrote of them is dropped.

    The files of a run at a URL are written on this machine and copied there by :meth:`upload`. One process of a run
    has a log. Raises ``ImportError`` if ``wandb`` is asked for and not installed.
    """

    def __init__(self, run: Run, first: int, *, wandb: bool = False) -> None:
        self._wandb = _start_wandb(run) if wandb else None
        self._folder: Folder = run.folder
        self._temporary = None if run.folder.path else tempfile.TemporaryDirectory()
        self._directory = run.folder.path or Path(self._temporary.name)  # type: ignore[union-attr]
        if self._temporary and run.folder.exists(METRICS):
            run.folder.download(METRICS, self._directory / METRICS)
        self._start(first)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        row = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **row}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(values, step=step)

    def rewind(self, steps: int) -> None:
        """Drop the metrics of the steps after ``steps``."""
        self._stop()
        self._start(steps)

    def plot(self) -> None:
        """Write ``curves.png``."""
        rows = _parse((self._directory / METRICS).read_bytes())
        try:
            plot_curves(rows, self._directory / CURVES)
        except ImportError:
            warnings.warn(f"matplotlib is not installed: no {CURVES} is written", stacklevel=2)

    def upload(self) -> None:
        """Copy the files to the run's URL, if it has one. May be called from another thread."""
        if self._temporary is None:
            return
        if self._writer is not None:
            self._writer.flush()
        for path in sorted(self._directory.rglob("*")):
            if path.is_file():
                self._folder.upload(path, path.relative_to(self._directory).as_posix())

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _start(self, first: int) -> None:
        path = self._directory / METRICS
        known = _parse(path.read_bytes()) if path.exists() else []
        with path.open("w", encoding="utf-8") as file:
            for row in known:
                if row["step"] <= first:
                    shown = {name: value if math.isfinite(value) else None for name, value in row.items()}
                    file.write(json.dumps(shown) + "\n")
        self._file = path.open("a", encoding="utf-8")
        self._writer = _summary_writer(self._directory / TENSORBOARD, first)

    def _stop(self) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def _parse(content: bytes) -> list[dict[str, float]]:
    rows = []
    for line in content.decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
            rows.append({name: math.nan if value is None else value for name, value in row.items()})
        except (ValueError, AttributeError):  # a process was killed while it wrote the line
            continue
    return rows


def _summary_writer(directory: Path, first: int) -> Any:
    """TensorBoard's writer, or None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        warnings.warn(f"tensorboard is not installed: no {TENSORBOARD} is written", stacklevel=2)
        return None
    return SummaryWriter(str(directory), purge_step=first + 1)


def _start_wandb(run: Run) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ImportError("wandb: expected the package to be installed, or a run without Weights & Biases") from error
    return wandb.init(
        project=_WANDB_PROJECT,
        name=run.folder.url.rpartition("/")[2],
        id=sha256(run.folder.url.encode()).hexdigest()[:16],  # a resumed run continues its curves
        resume="allow",
        config=json.loads(run.folder.read(IDENTITY)),
    )
