"""The training loop of all stages of a voice: torch only, one process, resumable after an interruption at any time.

The directory of a run has ``settings.json``, ``checkpoints/``, ``tensorboard/`` and, when it is finished, ``export/``.
"""

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.config import config_to_dict
from opens2s_core.storage import new_directory
from opens2s_core.training.voice.checkpoints import load_latest, save_checkpoint
from opens2s_core.training.voice.stage import Stage, StageConfig

SETTINGS, CHECKPOINTS, TENSORBOARD, EXPORT = "settings.json", "checkpoints", "tensorboard", "export"
_AVERAGE_WARMUP = 10

Progress = Callable[[int, Mapping[str, float]], None]
"""Called after every step with the number of steps done and the metrics of the step."""


class DivergedError(ValueError):
    """A loss is not finite."""


def train_stage(
    stage: Stage,
    config: StageConfig,
    directory: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train to ``config.steps`` and return the directory of the export.

    A finished run is not changed; an unfinished one resumes from its last checkpoint, on a CPU bit for bit.
    ``settings`` are plain data that the run also depends on: models, corpus, earlier stages. Raises
    :class:`CheckpointError` if ``directory`` has a run with other settings or a damaged checkpoint, and
    :class:`DivergedError` for a loss that is not finite.
    """
    run = Path(directory)
    export = finished_export(stage.name, config, run, settings)
    if export is not None:
        return export
    averages = {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in stage.averaged().items()}
    first = load_latest(stage, averages, run / CHECKPOINTS)
    for done, metrics in _steps(stage, config, averages, run, first):
        if progress is not None:
            progress(done, metrics)
    with new_directory(run / EXPORT) as target:
        stage.export(averages, target)
    return run / EXPORT


def finished_export(
    name: str, config: StageConfig, directory: str | Path, settings: Mapping[str, Any] | None = None
) -> Path | None:
    """The export of the run of stage ``name`` in ``directory``, or None if it is not finished.

    Writes the settings of a new run; otherwise raises as :func:`train_stage` does.
    """
    run = Path(directory)
    _check_settings(run, {"stage": name, "config": config_to_dict(config), **(settings or {})})
    return run / EXPORT if (run / EXPORT).exists() else None


def _steps(
    stage: Stage, config: StageConfig, averages: Mapping[str, nn.Module], run: Path, first: int
) -> Iterator[tuple[int, dict[str, float]]]:
    with _summary_writer(run / TENSORBOARD, first) as writer:
        for step in range(first, config.steps):
            metrics = stage.step(step)
            if not all(math.isfinite(value) for value in metrics.values()):
                raise DivergedError(f"{stage.name}: step {step}: expected finite numbers, got {metrics}")
            update_averages(averages, stage.averaged(), average_decay(config, step))
            if writer is not None:
                for name, value in {**metrics, "learning_rate": config.learning_rate_at(step)}.items():
                    writer.add_scalar(f"{stage.name}/{name}", value, step)
            done = step + 1
            if done % config.checkpoint_every == 0 or done == config.steps:
                save_checkpoint(stage, averages, done, run / CHECKPOINTS)
            yield done, metrics


def _summary_writer(directory: Path, first: int) -> AbstractContextManager[Any]:
    """TensorBoard's writer, or None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        warnings.warn("tensorboard is not installed: no curves are written", stacklevel=2)
        return nullcontext()
    return SummaryWriter(str(directory), purge_step=first)


def average_decay(config: StageConfig, step: int) -> float:
    """Decay of the average at ``step``, with a warm-up so that the initial weights decay quickly."""
    return min(config.ema_decay, (1 + step) / (_AVERAGE_WARMUP + step))


@torch.no_grad()
def update_averages(averages: Mapping[str, nn.Module], live: Mapping[str, nn.Module], decay: float) -> None:
    """Move averages towards the live modules; tensors that are not floating point are copied."""
    move = get_ema_multi_avg_fn(decay)
    for name, average in averages.items():
        kept, values = average.state_dict(), live[name].state_dict()
        moving = [key for key, value in kept.items() if value.is_floating_point()]
        move([kept[key] for key in moving], [values[key] for key in moving], 0)
        for key in kept.keys() - moving:
            kept[key].copy_(values[key])


def _check_settings(run: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new run, or compare them with the written ones."""
    path = run / SETTINGS
    own = json.loads(json.dumps(settings))
    if not path.exists():
        run.mkdir(parents=True, exist_ok=True)
        unfinished = run / f"{SETTINGS}.unfinished"
        write_json(unfinished, own)
        unfinished.rename(path)
    elif changed := list(_changes(read_json(path), own, "")):
        raise CheckpointError(f"{run}: the run was started with other settings: " + "; ".join(changed))


def _changes(before: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} was {before!r}, is {now!r}"
