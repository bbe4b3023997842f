"""Packed attention: sequences share one row without padding, and none attends to another.

Models run as transformers has them. Only their attention is replaced, by a function registered under :data:`PACKED`.
"""
# S sequences, T positions, H query heads, G key heads, C width of a head

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED = "packed"
"""Name of the attention function in transformers. Without a packing it is transformers' SDPA attention."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the sequences of a packed row start."""

    starts: Tensor  # int32 (S + 1,), the last one is T
    longest: int  # positions of the longest sequence
    positions: Tensor  # int64 (T,), from 0 in each sequence

    def to(self, device: torch.device | str) -> "Packing":
        return Packing(self.starts.to(device), self.longest, self.positions.to(device))


def pack(lengths: Sequence[int]) -> Packing:
    """The packing of sequences of these lengths, in order. ``ValueError`` for none, or for an empty sequence."""
    sizes = np.asarray(lengths, dtype=np.int64)
    if not len(sizes) or sizes.min() < 1:
        raise ValueError(f"lengths {list(lengths)}: expected one sequence or more, of one position or more each")
    ends = np.cumsum(sizes)
    positions = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
    starts = np.concatenate([[0], ends]).astype(np.int32)
    return Packing(torch.from_numpy(starts), int(sizes.max()), torch.from_numpy(positions))


def use_packed_attention(model: PreTrainedModel) -> None:
    """Let the layers of ``model`` take the argument ``packing``; without it they compute the same as before.

    This is not undone after a forward: activation checkpointing computes the layers again in the backward pass.
    """
    if model.config._attn_implementation != PACKED:
        model.set_attn_implementation(PACKED)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: Packing | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention in the form that transformers expects: query (1, H, T, C), key and value (1, G, T, C) → (1, T, H, C).

    Causal within each sequence of ``packing`` where ``module.is_causal``. On a GPU it is one kernel for half-precision
    values, else one call of SDPA per sequence. Without ``packing``, SDPA with ``attention_mask``.
    """
    if packing is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return output, None
    if value.is_cuda and _has_kernel(value, settings["dropout"]):
        return _varlen(query, key, value, packing, settings["scaling"], causal=bool(module.is_causal)), None
    parts = []
    for start, end in pairwise(packing.starts.tolist()):
        own = slice(start, end)
        output, _ = sdpa_attention_forward(module, query[:, :, own], key[:, :, own], value[:, :, own], None, **settings)
        parts.append(output)
    return torch.cat(parts, dim=1), None


def _has_kernel(value: Tensor, dropout: float) -> bool:
    """Whether flash attention has a kernel for these values (1, G, T, C)."""
    width = value.shape[-1]
    return value.dtype in (torch.float16, torch.bfloat16) and width % 8 == 0 and width <= 256 and not dropout


def _varlen(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, *, causal: bool) -> Tensor:
    # Under autocast the norms of query and key return float32.
    query, key, value = (states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value))
    output = varlen_attn(
        query,
        key,
        value,
        packing.starts,
        packing.starts,
        packing.longest,
        packing.longest,
        scale=scaling,
        window_size=(-1, 0 if causal else -1),
    )
    assert isinstance(output, Tensor)
    return output[None]


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
