"""The training loop, with torch and transformers only. A backend reduces gradients and holds the sharded states."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.models.lora import LoraSettings, add_lora
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.training.batch import Batch
from opens2s_core.training.loader import LoadedMicroBatch, Samples, load_ahead, load_micro_batches
from opens2s_core.training.losses import LossSums, forward_losses
from opens2s_core.training.plan import PlanConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One training run: AdamW with linear warm-up, cosine decay to a tenth and clipping of the gradient norm.

    With ``lora`` the LLM's own weights are frozen and LoRA is trained instead; other modules are trained as usual.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    text_weight: float = 1.0
    speech_weight: float = 1.0
    checkpoint_every: int = 200
    lora: LoraSettings | None = None
    plan: PlanConfig = field(default_factory=PlanConfig)

    def learning_rate_at(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * (0.55 + 0.45 * math.cos(math.pi * progress))

    def optimizer(self, model: nn.Module) -> torch.optim.AdamW:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=self.weight_decay)


def prepare_model(model: OpenS2S, config: TrainConfig) -> OpenS2S:
    """Add LoRA to ``model`` if configured; backends call it before they create the optimizer."""
    if config.lora is not None:
        add_lora(model.thinker, config.lora, seed=config.plan.seed)
    return model


class Backend(Protocol):
    """The model and its optimizer on one rank of ``world``."""

    model: OpenS2S
    rank: int
    world: int

    def losses(self, batch: Batch) -> LossSums:
        """Forward pass of one micro-batch."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of one micro-batch; they are *summed* over micro-batches and ranks. ``last``: the last one
        of the step on this rank."""
        ...

    def step(self, learning_rate: float) -> None:
        """Clip and apply the summed gradients."""
        ...


@dataclass(frozen=True, slots=True)
class StepReport:
    """The losses of one step on this rank."""

    step: int  # steps done
    text_loss: float  # this rank's share of the mean over the step's labels
    speech_loss: float


def fit(
    config: TrainConfig,
    samples: Samples,
    vocabulary: Vocabulary,
    backend: Backend,
    *,
    first_step: int,
    after_step: Callable[[StepReport], None],
) -> None:
    """Train from ``first_step`` to ``config.steps`` and call ``after_step`` on every rank after each step.

    The number of workers must divide ``config.plan.micro_batches_per_step``. A thread reads and collates micro-batches
    ahead of their step; the step of a micro-batch that fails raises
    :class:`~opens2s_core.training.loader.SampleError`.
    """
    if config.plan.micro_batches_per_step % backend.world:
        raise ValueError(
            f"{backend.world} workers cannot evenly share {config.plan.micro_batches_per_step} micro-batches per step"
        )
    backend.model.train()
    micro_batches = load_micro_batches(
        samples,
        config.plan,
        backend.model.config,
        vocabulary,
        rank=backend.rank,
        world=backend.world,
        first=first_step,
        last=config.steps,
    )
    with load_ahead(micro_batches) as loaded:
        for step in range(first_step, config.steps):
            after_step(_train_step(config, backend, step, loaded))


def _train_step(config: TrainConfig, backend: Backend, step: int, loaded: Iterator[LoadedMicroBatch]) -> StepReport:
    text_loss = speech_loss = 0.0
    for micro_batch in loaded:
        assert micro_batch.step == step
        with _seeded(config.plan.seed, step, micro_batch.lane, backend.model.thinker.device):
            sums = backend.losses(_to_device(micro_batch.batch, backend.model))
        text, speech = sums.text / micro_batch.text_labels, sums.speech / micro_batch.unit_labels
        backend.backward(config.text_weight * text + config.speech_weight * speech, last=micro_batch.last)
        text_loss += float(text.detach())
        speech_loss += float(speech.detach())
        if micro_batch.last:
            break
    backend.step(config.learning_rate_at(step))
    return StepReport(step + 1, text_loss, speech_loss)


@contextmanager
def _seeded(seed: int, step: int, lane: int, device: torch.device) -> Iterator[None]:
    """Seed random numbers (dropout) by micro-batch, independent of the number of workers and of resuming."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence((seed, step, lane)).generate_state(1, np.uint64)[0]))
        yield


def _to_device(batch: Batch, model: OpenS2S) -> Batch:
    device = model.thinker.device
    if device.type == "cpu":
        return batch
    moved = {name: getattr(batch, name) for name in batch.__slots__}
    return Batch(**{name: v.to(device) if hasattr(v, "to") else v for name, v in moved.items()})


class TorchBackend:
    """One process, plain torch."""

    def __init__(self, model: OpenS2S, config: TrainConfig) -> None:
        self.model, self.rank, self.world = prepare_model(model, config), 0, 1
        self._max_grad_norm = config.max_grad_norm
        self._optimizer = config.optimizer(model)

    def losses(self, batch: Batch) -> LossSums:
        return forward_losses(self.model, batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        loss.backward()

    def step(self, learning_rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()
