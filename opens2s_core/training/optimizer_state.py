"""Optimizer states by the names of parameters: ``layer.weight.exp_avg``. PyTorch numbers the parameters instead."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import value
from opens2s_core.checkpoint.shards import LazyTensor


def named_state(
    optimizer: torch.optim.Optimizer, parameters: Iterable[tuple[str, nn.Parameter]]
) -> Iterator[tuple[str, Tensor]]:
    """The states of the optimizer's parameters, by the names in ``parameters``; none of one that had no step yet.

    States must be tensors, as those of the Adam family are.
    """
    names = {id(parameter): name for name, parameter in parameters}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key, tensor in optimizer.state.get(parameter, {}).items():
                yield f"{names[id(parameter)]}.{key}", tensor


def load_named_state(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[tuple[str, nn.Parameter]],
    state: Mapping[str, Tensor | LazyTensor],
) -> None:
    """Replace the states of an optimizer by copies of those of :func:`named_state`; learning rates and other settings
    stay.

    Raises :class:`CheckpointError` for the name of a parameter that the optimizer does not have, or a state of another
    shape than its parameter.
    """
    names = {id(parameter): name for name, parameter in parameters}
    owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]  # in torch's numbering
    index = {names[id(parameter)]: number for number, parameter in enumerate(owned)}
    states: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in state.items():
        name, _, key = full_name.rpartition(".")
        if name not in index:
            raise CheckpointError(f"unknown optimizer state {full_name}")
        expected = owned[index[name]].shape
        if tensor.shape not in (expected, torch.Size()):
            raise CheckpointError(f"{full_name} has shape {tuple(tensor.shape)}, expected {tuple(expected)}")
        states.setdefault(index[name], {})[key] = value(tensor).clone()
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
