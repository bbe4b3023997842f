"""A stage of a voice as a task of the training loop, in one process, with moving averages of its weights."""

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.modules import differences
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.config import config_to_dict
from opens2s_core.training.loop import Progress, train
from opens2s_core.training.optimizer_state import load_named_state, named_state
from opens2s_core.training.run import Run, open_run
from opens2s_core.training.voice.stage import Stage, StageConfig

_AVERAGE_WARMUP = 10
_MODULES, _AVERAGES, _OPTIMIZERS = "modules", "averages", "optimizers"  # first parts of names in checkpoints


def train_stage(
    stage: Stage,
    config: StageConfig,
    directory: str | Path,
    *,
    depends_on: Mapping[str, Any] | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train to ``config.steps`` and return the directory of the export. Raises as :func:`open_stage_run` and
    :func:`~opens2s_core.training.loop.train` do."""
    run = open_stage_run(stage.name, config, directory, depends_on)
    if not run.is_finished():
        with run.for_one_job():
            train(StageTask(stage, config), config.run_config(), run, on_step=on_step)
    return Path(run.export)


def open_stage_run(
    name: str, config: StageConfig, directory: str | Path, depends_on: Mapping[str, Any] | None = None
) -> Run:
    """The run of stage ``name`` in ``directory``, new or not.

    ``depends_on`` is plain data that the run also depends on: models, corpus, earlier stages. Raises as
    :func:`~opens2s_core.training.run.open_run` does.
    """
    settings = config_to_dict(config)
    del settings["guard"]  # a run that diverged may be resumed with another policy
    return open_run(directory, {"stage": name, "config": settings, **(depends_on or {})})


class StageTask:
    """See :class:`~opens2s_core.training.loop.TrainingTask`. What is exported are the averages."""

    rank, world = 0, 1

    def __init__(self, stage: Stage, config: StageConfig) -> None:
        self.name = stage.name
        self._stage, self._config = stage, config
        self._averages = {
            name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in stage.averaged().items()
        }

    def step(self, number: int) -> dict[str, float]:
        metrics = self._stage.step(number)
        update_averages(self._averages, self._stage.averaged(), average_decay(self._config, number))
        return {**metrics, "learning_rate": self._config.schedule.at(number)}

    def state(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._tensors().items()
        for name, optimizer in self._stage.optimizers().items():
            for key, tensor in named_state(optimizer, self._parameters()):
                yield f"{_OPTIMIZERS}.{name}.{key}", tensor

    def load(self, state: Mapping[str, LazyTensor]) -> None:
        own = self._tensors()
        given = {name: tensor for name, tensor in state.items() if not name.startswith(f"{_OPTIMIZERS}.")}
        if problems := differences(given, own):
            raise CheckpointError("; ".join(problems))
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name].read())
        rest = {name: tensor for name, tensor in state.items() if name not in given}
        for name, optimizer in self._stage.optimizers().items():
            prefix = f"{_OPTIMIZERS}.{name}."
            of_optimizer = {key.removeprefix(prefix): rest.pop(key) for key in list(rest) if key.startswith(prefix)}
            load_named_state(optimizer, self._parameters(), of_optimizer)
        if rest:
            raise CheckpointError(f"unknown {sorted(rest)}")

    def validate(self, steps: int) -> dict[str, float]:
        return self._stage.validate(steps)

    def reduce(self, values: list[float]) -> list[float]:
        return values

    def export(self, directory: Path | None) -> None:
        assert directory is not None, "there is one process"
        self._stage.export(self._averages, directory)

    def _tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of all modules and averages."""
        kinds = {_MODULES: self._stage.modules(), _AVERAGES: self._averages}
        return {
            f"{kind}.{name}.{key}": tensor
            for kind, modules in kinds.items()
            for name, module in modules.items()
            for key, tensor in module.state_dict().items()
        }

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, module in self._stage.modules().items():
            for key, parameter in module.named_parameters():
                yield f"{name}.{key}", parameter


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
