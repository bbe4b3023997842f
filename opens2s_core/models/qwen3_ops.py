"""The operations of a Qwen3 layer, optimised for few tokens."""
# n tokens, D width, R slots, S positions that attention reads, K key heads, G query heads to each, W width of a head

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3RMSNorm

_FEW = 12
"""Number of tokens up to which :func:`_by_halves` is not slower on a CPU; for one token it takes half the time."""


def rotary_embedding(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (1, n, W) of each position in the form for :func:`apply_rotary`, (n, 1, W)."""
    left, right = sin[0].chunk(2, dim=-1)
    return cos[0][:, None], torch.cat([-left, right], dim=-1)[:, None]


def apply_rotary(heads: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the heads (n, heads, W) by their positions, in few operations."""
    cos, sin = rotary
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, dims=-1), sin)


def attend_few(query: Tensor, keys: Tensor, values: Tensor, causal_mask: Tensor) -> Tensor:
    """Scaled dot product attention, query (R, K, G, W), keys and values (R, K, S, W), mask (R, 1, 1, S). With one token
    per slot it takes half the time of torch's on a CPU."""
    slots, heads, groups, width = query.shape
    mask = causal_mask.expand(-1, heads, -1, -1).flatten(0, 1).expand(-1, groups, -1)
    scores = torch.baddbmm(mask, query.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2), alpha=width**-0.5)
    return torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(slots, heads, groups, width)


def mlp(layer: Qwen3MLP, x: Tensor) -> Tensor:
    """x (n, D) → (n, D)."""
    divides = type(layer.gate_proj) is nn.Linear and layer.intermediate_size % 2 == 0  # False with LoRA
    if x.is_cuda or len(x) > _FEW or not divides:
        return layer(x)
    return layer.down_proj(layer.act_fn(_by_halves(x, layer.gate_proj)) * _by_halves(x, layer.up_proj))


def _by_halves(x: Tensor, linear: nn.Linear) -> Tensor:
    """``linear`` of few tokens (n, inputs) on a CPU, as a batch of two halves of its outputs: torch computes a batch in
    two threads, but the product of a matrix and few vectors in one."""
    halves = linear.weight.unflatten(0, (2, -1))
    return torch.bmm(halves, x.t().expand(2, -1, -1)).flatten(0, 1).t()


def norm(layer: Qwen3RMSNorm, x: Tensor) -> Tensor:
    """x (…, D) → (…, D)."""
    return functional.rms_norm(x, layer.weight.shape, layer.weight, layer.variance_epsilon)
