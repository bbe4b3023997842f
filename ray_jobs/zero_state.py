"""Where DeepSpeed's optimizers hold the float32 weights and the states of each parameter on a rank.

DeepSpeed has functions that gather them (``deepspeed.utils.safe_get_full_fp32_param`` and others). In version 0.19 they
fail before the optimizer's first step, for ZeRO 1 and 2 after it, too, and for sizes that the ranks do not divide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

STATES = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one rank holds of one parameter: values from ``start`` on of the flat parameter, float32 views."""

    shape: torch.Size  # of the whole parameter
    start: int
    parts: dict[str, Tensor]  # "weight" and, once there are, STATES; views (n,) into the optimizer's tensors
    steps: Tensor | None  # optimizer steps done
    shared: bool  # the other values are on other ranks


def fragments(engine: Any, *, steps: float | None = None) -> Iterator[tuple[str, Fragment]]:
    """The fragment of each trained parameter by name, in the same order on all ranks.

    With ``steps`` the states are created where there are none, and the number of steps done is set.
    """
    outer = engine.optimizer
    inner: torch.optim.Optimizer = getattr(outer, "optimizer", outer)
    for name, parameter in engine.module.named_parameters():
        if not parameter.requires_grad:
            continue
        location = _location(outer, parameter)
        if steps is not None:
            state = inner.state[location.flat]
            state["step"] = torch.tensor(steps)
            for key in STATES:
                state.setdefault(key, torch.zeros_like(location.flat))
        state = inner.state.get(location.flat, {})
        flats = {"weight": location.flat.detach()} | {key: state[key] for key in STATES if key in state}
        parts = {key: flat.view(-1).narrow(0, location.offset, location.length) for key, flat in flats.items()}
        yield name, Fragment(location.shape, location.start, parts, state.get("step"), location.shared)


@dataclass(frozen=True, slots=True)
class _Location:
    flat: Tensor  # the tensor that the optimizer steps
    offset: int  # in ``flat``
    length: int
    start: int  # in the parameter
    shape: torch.Size
    shared: bool


def _location(outer: Any, parameter: nn.Parameter) -> _Location:
    if hasattr(parameter, "ds_id"):  # ZeRO 3
        return _partitioned(outer, parameter)
    if hasattr(parameter, "_hp_mapping"):  # ZeRO 1 and 2
        return _flattened(outer, parameter)
    return _Location(parameter, 0, parameter.numel(), 0, parameter.shape, shared=False)


def _partitioned(outer: Any, parameter: Any) -> _Location:
    """Each rank has an equal part of every parameter; the last ones are padded."""
    group, offset, length = outer.grad_position[outer.get_param_id(parameter)]
    start = outer._get_param_partition_rank(parameter) * length
    own = max(min(length, parameter.ds_numel - start), 0)
    flat = outer.fp32_partitioned_groups_flat[group]
    return _Location(flat, offset, own, start if own else 0, torch.Size(parameter.ds_shape), shared=True)


def _flattened(outer: Any, parameter: Any) -> _Location:
    """The parameters of a group are one flat tensor, of which each rank has an equal part."""
    mapping = parameter._hp_mapping
    # The first name is that of DeepSpeed's optimizer for stage 1 in bfloat16.
    flats = getattr(outer, "fp32_groups_flat_partition", None) or outer.single_partition_of_fp32_groups
    if mapping is None:  # all of it is on other ranks
        return _Location(flats[0], 0, 0, 0, parameter.shape, shared=True)
    storage = mapping.hp_fragment.untyped_storage().data_ptr()
    flat = next(flat for flat in flats if flat.untyped_storage().data_ptr() == storage)
    low, high = mapping.lp_fragment_address, mapping.hp_fragment_address
    return _Location(flat, high.start, high.numel, low.start, parameter.shape, shared=True)
