"""DeepSpeed's ZeRO as the engine of a training step."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import deepspeed
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from opens2s_core.checkpoint.files import value
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.training.batch import Batch
from opens2s_core.training.engine import OPTIMIZER, WEIGHTS, Precision, adamw, set_rates, split_state, trained
from opens2s_core.training.objective import Objective
from ray_jobs.zero_state import STATES, Fragment, fragments


class ZeroEngine:
    """One rank of a ZeRO run, stage 0 to 3, over the default process group.

    States are saved in full by the names of parameters and not by DeepSpeed: what it saves can be loaded by as many
    ranks only, and its conversion skips frozen weights. ``build`` makes the objective on the CPU with the weights that
    the run starts from; it is called again by :meth:`load`.
    """

    def __init__(
        self,
        build: Callable[[], Objective],
        *,
        stage: int,
        rank: int,
        world: int,
        micro_batches: int,  # of a step on each rank
        weight_decay: float,
        max_grad_norm: float,
        precision: Precision,
        device: torch.device,
    ) -> None:
        # On CPUs DeepSpeed would first compile an extension of its own, which needs a compiler and most of a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self.rank, self.world = rank, world
        if precision == "bfloat16":
            stage = max(stage, 1)  # without ZeRO DeepSpeed adds gradients up in bfloat16
        self._build, self._stage, self._micro_batches, self._device = build, stage, micro_batches, device
        self._weight_decay = weight_decay
        self._settings: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": micro_batches,
            "gradient_clipping": max_grad_norm,
            "zero_optimization": {"stage": stage},
            "zero_allow_untested_optimizer": True,
            "bf16": {"enabled": precision == "bfloat16"},
            # Gradients of bfloat16 weights are added up over micro-batches and ranks in float32.
            "data_types": {"grad_accum_dtype": "fp32"},
            "communication_data_type": "fp32",
        }
        self._precision = precision
        self._start(build())

    @property
    def device(self) -> torch.device:
        return self._device

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = self._engine(batch)
        return sums

    def backward(self, loss: Tensor, *, last: bool) -> None:
        # DeepSpeed averages over micro-batches and ranks; the loop's losses are shares of one sum.
        self._engine.backward(loss * self._micro_batches * self.world)
        if not last:
            self._engine.step()  # only counts the micro-batch; the optimizer step follows the last one

    def step(self, learning_rate: float) -> float:
        set_rates(self._engine.optimizer, learning_rate)
        norm = self._norm_without_zero() if self._stage == 0 else None
        self._engine.step()
        return float(self._engine.get_global_grad_norm() if norm is None else norm)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        for number, (name, fragment) in enumerate(fragments(self._engine)):
            for key in fragment.parts:
                full = self._full(fragment, key)  # a collective: on every rank, for every name
                if number % self.world == self.rank:
                    yield (f"{WEIGHTS}/{name}" if key == "weight" else f"{OPTIMIZER}/{name}.{key}"), full
            if fragment.steps is not None and number % self.world == self.rank:
                yield f"{OPTIMIZER}/{name}.step", fragment.steps

    def load(self, state: Mapping[str, Tensor | LazyTensor]) -> None:
        objective = self._build()
        parameters = trained(objective)
        weights, optimizer = split_state(state, parameters)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(value(weights[name]))
        self._engine.destroy()
        self._start(objective)
        for name, fragment in fragments(self._engine, steps=_steps(optimizer)):
            self._fill(fragment, "weight", weights[name])
            for key in fragment.parts.keys() & STATES:
                self._fill(fragment, key, optimizer[f"{name}.{key}"])

    def reduce(self, values: list[float]) -> list[float]:
        summed = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(summed)
        reduced: list[float] = summed.tolist()
        return reduced

    def _start(self, objective: Objective) -> None:
        self.objective = objective.to(self._device, getattr(torch, self._precision))
        groups = self.objective.parameter_groups(self._weight_decay)
        self._engine, *_ = deepspeed.initialize(model=self.objective, optimizer=adamw(groups), config=self._settings)

    def _norm_without_zero(self) -> Tensor:
        """Without ZeRO DeepSpeed does not tell the norm; the gradients are summed over ranks after the last backward
        pass."""
        return get_total_norm([p.grad for p in self.objective.parameters() if p.grad is not None])

    def _full(self, fragment: Fragment, key: str) -> Tensor:
        full = torch.zeros(fragment.shape.numel(), dtype=torch.float32, device=self._device)
        part = fragment.parts[key]
        full[fragment.start : fragment.start + len(part)] = part
        if fragment.shared:
            torch.distributed.all_reduce(full)
        return full.reshape(fragment.shape)

    def _fill(self, fragment: Fragment, key: str, full: Tensor | LazyTensor) -> None:
        part = fragment.parts[key]
        part.copy_(value(full).reshape(-1)[fragment.start : fragment.start + len(part)])


def _steps(optimizer: Mapping[str, Tensor | LazyTensor]) -> float:
    """Optimizer steps of a state: the same for all parameters."""
    return max((float(value(tensor)) for name, tensor in optimizer.items() if name.endswith(".step")), default=0.0)
