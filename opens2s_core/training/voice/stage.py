"""The interface of a training stage of a voice: one model, one process, a pure function of (seed, step)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from opens2s_core.models import seeding
from opens2s_core.training.guard import GuardConfig
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.schedule import Schedule

T = TypeVar("T")

_FINAL_SHARE = 0.01  # of the learning rate, at the last step


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One run of a stage: AdamW with linear warm-up, cosine decay to a hundredth and clipping of the gradient norm."""

    steps: int
    checkpoint_every: int = 200
    validate_every: int = 200
    guard: GuardConfig = field(default_factory=GuardConfig)
    seed: int = 0
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.995  # per step, of the weights that are exported
    bf16: bool = False  # forward passes under bfloat16 autocast

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            steps=self.steps,
            learning_rate=self.learning_rate,
            warmup_steps=self.warmup_steps,
            final_share=_FINAL_SHARE,
        )

    def run_config(self) -> RunConfig:
        return RunConfig(
            steps=self.steps,
            checkpoint_every=self.checkpoint_every,
            validate_every=self.validate_every,
            guard=self.guard,
        )

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        return torch.optim.AdamW(
            trained, lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=self.weight_decay, fused=True
        )


class Stage(Protocol):
    """The models and optimizers of a stage, run by :func:`opens2s_core.training.voice.task.train_stage`."""

    name: str

    def modules(self) -> Mapping[str, nn.Module]:
        """All modules with state, including heads and discriminators, for checkpoints."""
        ...

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    def step(self, step: int) -> dict[str, float]:
        """One optimisation step, ``step`` from 0. The batch and all random numbers depend on (seed, step) alone, and
        the global random state does not change. Returns ``loss``, its parts as ``loss/PART`` and other metrics.
        """
        ...

    def validate(self, steps: int) -> dict[str, float]:
        """Metrics on held-out speech after ``steps`` steps; none without such speech."""
        ...

    def averaged(self) -> Mapping[str, nn.Module]:
        """The modules whose exponential moving average is kept and exported."""
        ...

    def export(self, modules: Mapping[str, nn.Module], directory: Path) -> None:
        """Write a directory in the published layout for serving; ``modules`` are the averages of :meth:`averaged`."""
        ...


def apply_gradients(optimizer: torch.optim.Optimizer, config: StageConfig, step: int) -> float:
    """Clip the gradients, take one optimizer step at the learning rate of ``step``, clear the gradients.

    Returns the norm of the gradients before clipping.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = config.schedule.at(step)
    optimizer.step()
    optimizer.zero_grad()
    return float(norm)


def stage_device() -> torch.device:
    """The training device: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def autocast(config: StageConfig, device: torch.device) -> Iterator[None]:
    """bfloat16 autocast if configured; on a CPU attention stays in float32."""
    attention = _AttentionInFloat32() if config.bf16 and device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16), attention:
        yield


class _AttentionInFloat32(TorchFunctionMode):
    """Computes attention in float32: on a CPU torch's takes 2 to 4 times as long in bfloat16."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            attended = func(*map(_wide, args), **{name: _wide(value) for name, value in (kwargs or {}).items()})
        return attended.to(args[0].dtype)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def rng_at(seed: int, step: int, purpose: int = 0) -> np.random.Generator:
    """The NumPy generator for one purpose within one step."""
    return np.random.default_rng((seed, step, purpose))


def generator_at(seed: int, step: int, purpose: int = 0) -> torch.Generator:
    """The torch generator, on the CPU, so that the numbers do not depend on the device."""
    return torch.Generator().manual_seed(int(rng_at(seed, step, purpose).integers(2**63)))


@contextmanager
def random_numbers_at(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Seed global random numbers (dropout) by step within the block and restore them afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng_at(seed, step, 1).integers(2**63)))
        yield


def seeded(seed: int, build: Callable[[], T]) -> T:
    """The result of ``build`` with seeded random numbers, for the initial weights of a model."""
    with seeding.seeded(seed):
        return build()
