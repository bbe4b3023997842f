"""Modules filled with tensors, without a random initialisation and without a second copy."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.shards import LazyTensor

M = TypeVar("M", bound=nn.Module)

COMPUTED = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Types of weights; quantised ones cannot be used without their scales."""


def build_empty(build: Callable[[], M]) -> M:
    """A module whose parameters have shapes and no values (on the meta device)."""
    with torch.device("meta"), _NoNormalInit():
        return build()


class _NoNormalInit(TorchFunctionMode):
    """Skips the initialisation that torch implements in Python for tensors without values: its first call imports
    torch's compiler, which takes as long as importing torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **kwargs)


def differences(
    given: Mapping[str, Tensor | LazyTensor],
    expected: Mapping[str, Tensor | LazyTensor],
    optional: Collection[str] = (),
) -> list[str]:
    """A line for each tensor of ``given`` that is missing, unknown, or of another shape or an unsupported type;
    ``optional`` names may be absent."""
    problems = [f"missing {name}" for name in sorted(set(expected) - set(given) - set(optional))]
    problems += [f"unknown {name}" for name in sorted(set(given) - set(expected))]
    both = sorted(set(given) & set(expected))
    problems += [
        f"{name} has shape {tuple(given[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in both
        if given[name].shape != expected[name].shape
    ]
    return problems + [
        f"{name} is {given[name].dtype}, expected one of {[str(dtype) for dtype in COMPUTED]}"
        for name in both
        if expected[name].dtype.is_floating_point and given[name].dtype not in COMPUTED
    ]


def check_tensors(
    given: Mapping[str, Tensor | LazyTensor],
    expected: Mapping[str, Tensor | LazyTensor],
    where: Path,
    optional: Collection[str] = (),
) -> None:
    """Raise :class:`CheckpointError` with all :func:`differences`."""
    if problems := differences(given, expected, optional):
        raise CheckpointError(f"{where}: " + "; ".join(problems))


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are equal bit by bit. ``torch.equal`` finds a NaN different from itself."""
    return left.dtype == right.dtype and torch.equal(_bytes(left), _bytes(right))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.uint8)


def assign(module: M, state: Mapping[str, Tensor]) -> M:
    """Set the parameters of a :func:`build_empty` module to ``state``, whose types they take; returns it in eval mode.

    Parameters that ``state`` lacks have no values: tie them to others afterwards.
    """
    module.load_state_dict(state, strict=False, assign=True)
    return module.eval()
