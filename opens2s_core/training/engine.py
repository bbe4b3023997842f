"""The engine of a training step: forward and backward passes, optimizer, reductions. Here one process with PyTorch."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import value
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.training.batch import Batch
from opens2s_core.training.objective import Objective
from opens2s_core.training.optimizer_state import load_named_state, named_state

Precision = Literal["float32", "bfloat16"]
"""``bfloat16``: models and activations are in bfloat16; the optimizer has the trained weights in float32."""

WEIGHTS, OPTIMIZER = "weights", "optimizer"
"""First parts of the names in a state: ``weights/NAME`` and ``optimizer/NAME.KEY``."""


class Engine(Protocol):
    """The objective and its optimizer on one rank of ``world``."""

    objective: Objective
    rank: int
    world: int

    @property
    def device(self) -> torch.device: ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Forward pass of one micro-batch, see :class:`Objective`."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of one micro-batch; they are *summed* over micro-batches and ranks. ``last``: the last one
        of the step on this rank."""
        ...

    def step(self, learning_rate: float) -> float:
        """Clip and apply the summed gradients; returns their norm before clipping. Each parameter group has its
        multiple of ``learning_rate``."""
        ...

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """This rank's share of the trained weights in float32 and of the optimizer's state, by name."""
        ...

    def load(self, state: Mapping[str, Tensor | LazyTensor]) -> None:
        """Restore a state that any engine saved, with any number of ranks. Raises :class:`CheckpointError`."""
        ...

    def reduce(self, values: list[float]) -> list[float]:
        """The sums over all ranks in float64."""
        ...


class TorchEngine:
    """One process. ``device`` and dtype of the model follow from ``device`` and ``precision``."""

    rank, world = 0, 1

    def __init__(
        self,
        objective: Objective,
        *,
        weight_decay: float,
        max_grad_norm: float,
        precision: Precision = "float32",
        device: torch.device | str = "cpu",
    ) -> None:
        self.objective = objective.to(device, getattr(torch, precision))
        self._max_grad_norm = max_grad_norm
        self._trained = trained(objective)
        self._masters = {
            name: nn.Parameter(parameter.detach().float().clone()) if precision == "bfloat16" else parameter
            for name, parameter in self._trained.items()
        }
        masters = {id(parameter): self._masters[name] for name, parameter in self._trained.items()}
        groups = objective.parameter_groups(weight_decay)
        self._optimizer = adamw(
            [group | {"params": [masters[id(parameter)] for parameter in group["params"]]} for group in groups]
        )

    @property
    def device(self) -> torch.device:
        return self.objective.model.thinker.device

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = self.objective(batch)
        return sums

    def backward(self, loss: Tensor, *, last: bool) -> None:
        loss.backward()
        for name, parameter in self._trained.items():
            master = self._masters[name]
            if master is not parameter and parameter.grad is not None:  # gradients are added up in float32
                grad = parameter.grad.float()
                master.grad = grad if master.grad is None else master.grad + grad
                parameter.grad = None

    def step(self, learning_rate: float) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self._masters.values(), self._max_grad_norm)
        set_rates(self._optimizer, learning_rate)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._copy_masters()
        return float(norm)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        for name, master in self._masters.items():
            yield f"{WEIGHTS}/{name}", master.detach()
        for name, tensor in named_state(self._optimizer, self._masters.items()):
            yield f"{OPTIMIZER}/{name}", tensor

    def load(self, state: Mapping[str, Tensor | LazyTensor]) -> None:
        weights, optimizer = split_state(state, self._masters)
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(value(weights[name]))
        self._copy_masters()
        load_named_state(self._optimizer, self._masters.items(), optimizer)

    def reduce(self, values: list[float]) -> list[float]:
        return values

    @torch.no_grad()
    def _copy_masters(self) -> None:
        for name, parameter in self._trained.items():
            if self._masters[name] is not parameter:
                parameter.copy_(self._masters[name])


def adamw(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """The optimizer of all stages; weight decay and the multiple of the learning rate are in the groups."""
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))


def set_rates(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate"]


def trained(objective: Objective) -> dict[str, nn.Parameter]:
    """The trained parameters by name; a tied one once."""
    return {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}


def split_state(
    state: Mapping[str, Tensor | LazyTensor], parameters: Mapping[str, nn.Parameter]
) -> tuple[dict[str, Tensor | LazyTensor], dict[str, Tensor | LazyTensor]]:
    """Weights by the names of parameters, and the optimizer's state by NAME.KEY.

    Raises :class:`CheckpointError` if the names or shapes of the weights are not those of ``parameters``.
    """
    weights, optimizer = (
        {name.removeprefix(f"{part}/"): tensor for name, tensor in state.items() if name.startswith(f"{part}/")}
        for part in (WEIGHTS, OPTIMIZER)
    )
    if other := sorted(weights.keys() ^ parameters.keys()):
        raise CheckpointError(f"expected the weights that this stage trains, missing or unknown are {other}")
    for name, parameter in parameters.items():
        expected = tuple(getattr(parameter, "ds_shape", parameter.shape))
        if tuple(weights[name].shape) != expected:
            raise CheckpointError(f"{name} has shape {tuple(weights[name].shape)}, expected {expected}")
    return weights, optimizer
