"""The encoder of the flow: a block-causal relative-position transformer and the upsampling from units to mel frames.

B sequences, N units, D encoder width, H heads, F mel frames.
Source: tests/golden/token2wav_tiny/README.md, facts 2 to 4.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.config import FlowEncoderConfig, LengthRegulatorConfig


def relative_positions(length: int, like: Tensor) -> Tensor:
    """Sinusoids (2 N - 1, D) of the offsets N - 1 … 1 - N, with the dtype and last axis of ``like``."""
    offsets = torch.arange(length - 1, -length, -1, device=like.device, dtype=torch.float32)
    width = like.shape[-1]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10000.0) / width))
    angles = offsets[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like.dtype)


def block_causal(valid: Tensor, block: int) -> Tensor:
    """Bool (B, 1, N, N): key j is visible to query i if it is not later or in the same block, and valid (B, N)."""
    index = torch.arange(valid.shape[1], device=valid.device)
    near = (index[None, :] <= index[:, None]) | (index[None, :] // block == index[:, None] // block)
    return near & valid[:, None, None, :]


class RelativeAttention(nn.Module):
    """Self attention with learned content and position biases (Transformer-XL)."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        width, self.heads = config.output_size, config.attention_heads
        self.dropout = config.attention_dropout_rate
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, width // self.heads))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, width // self.heads))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """x (B, N, D), positions (2 N - 1, D), visible (B, 1, N, N) → (B, N, D)."""
        q, k, v = (self._heads(linear(x)) for linear in (self.linear_q, self.linear_k, self.linear_v))
        offsets = self._heads(self.linear_pos(positions)[None])  # (1, H, 2N-1, D/H)
        by_offset = (q + self.pos_bias_v[:, None]) @ offsets.transpose(-1, -2)  # (B, H, N, 2N-1)
        index = torch.arange(x.shape[1], device=x.device)
        column = (x.shape[1] - 1 - index[:, None] + index[None, :]).expand(*by_offset.shape[:2], -1, -1)
        bias = by_offset.gather(-1, column) / math.sqrt(q.shape[-1])  # (B, H, N, N)
        bias = bias.masked_fill(~visible, -math.inf)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q + self.pos_bias_u[:, None], k, v, bias, dropout)
        return self.linear_out(y.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, D/H)


class FeedForward(nn.Module):
    """(B, N, D) → (B, N, D)."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(config.output_size, config.linear_units)
        self.w_2 = nn.Linear(config.linear_units, config.output_size)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.dropout(functional.silu(self.w_1(x))))


class EncoderLayer(nn.Module):
    """Pre-norm attention and feed-forward; shapes as in :class:`RelativeAttention`."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(config)
        self.feed_forward = FeedForward(config)
        self.norm_mha = nn.LayerNorm(config.output_size)
        self.norm_ff = nn.LayerNorm(config.output_size)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        x = x + self.dropout(self.self_attn(self.norm_mha(x), positions, visible))
        return x + self.dropout(self.feed_forward(self.norm_ff(x)))


class InputLayer(nn.Module):
    """Unit embeddings (B, N, input_size) → (B, N, D)."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.output_size)
        self.out = nn.Sequential(
            nn.Linear(config.input_size, config.output_size),
            nn.LayerNorm(config.output_size),
            nn.Dropout(config.dropout_rate),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x) * self.scale


class FlowEncoder(nn.Module):
    """Unit embeddings (B, N, input_size) with validity (B, N) → (B, N, D); padded positions have values too."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        self.block_size = config.block_size
        self.embed = InputLayer(config)
        self.positional_dropout = nn.Dropout(config.positional_dropout_rate)
        self.encoders = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_blocks))
        self.after_norm = nn.LayerNorm(config.output_size)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = self.positional_dropout(self.embed(x))
        positions = self.positional_dropout(relative_positions(x.shape[1], x))
        visible = block_causal(valid, self.block_size)
        for layer in self.encoders:
            x = layer(x, positions, visible)
        return self.after_norm(x)


class LengthRegulator(nn.Module):
    """Upsamples (B, N, C) to a number of frames by repetition, then smooths: (B, C, F).

    The smoothing layers normalise over all frames, so every frame depends on every unit. As in the published model,
    only the number of ``sampling_ratios`` is used, for one smoothing layer each.
    """

    def __init__(self, config: LengthRegulatorConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in config.sampling_ratios:
            layers += [
                nn.Conv1d(config.channels, config.channels, 3, padding=1),
                nn.GroupNorm(1, config.channels),
                nn.Mish(),
            ]
        self.model = nn.Sequential(*layers, nn.Conv1d(config.channels, config.channels, 1))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.model(functional.interpolate(x.transpose(1, 2), size=frames, mode="nearest"))  # (B, C, F)

    def forward_indexed(self, x: Tensor, unit_of_frame: Tensor) -> Tensor:
        """The same with the unit of each frame given: x (B, N, C), unit_of_frame (B, F) → (B, C, F)."""
        return self.model(x.take_along_dim(unit_of_frame[:, :, None], dim=1).transpose(1, 2))
