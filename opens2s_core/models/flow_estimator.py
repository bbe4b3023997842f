"""The velocity field of the flow: a U-Net of residual convolutions and transformer blocks over mel frames.

B items, C channels, F frames, E time-embedding width. Masks are 1 for frames and 0 for padding, (B, 1, F), or None
without padding. Padding changes the output of the published weights: it is included in the normalisation statistics,
and attention adds the mask to the scores instead of excluding padding. Synthesis does not pad.
Source: tests/golden/token2wav_tiny/README.md, facts 5 to 8.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.config import EstimatorConfig

NORM_GROUPS = 8
TIME_SCALE = 1000.0


def time_sinusoid(t: Tensor, width: int) -> Tensor:
    """Times (B,) in [0, 1] → (B, width): sines, then cosines."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / (half - 1)))
    angles = TIME_SCALE * t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


class TimeEmbedding(nn.Module):
    """Sinusoids (B, width) → (B, E)."""

    def __init__(self, width: int, embedded: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, embedded)
        self.linear_2 = nn.Linear(embedded, embedded)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class ConvBlock(nn.Module):
    """(B, inputs, F) → (B, outputs, F), zero at padding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(inputs, outputs, 3, padding=1), nn.GroupNorm(NORM_GROUPS, outputs), nn.Mish()
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return masked(self.block(masked(x, mask)), mask)


class ResidualBlock(nn.Module):
    """(B, inputs, F) with time (B, E) → (B, outputs, F)."""

    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, outputs))
        self.block1 = ConvBlock(inputs, outputs)
        self.block2 = ConvBlock(outputs, outputs)
        self.res_conv = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor, mask: Tensor | None, time: Tensor) -> Tensor:
        y = self.block1(x, mask) + self.mlp(time)[:, :, None]
        return self.block2(y, mask) + self.res_conv(masked(x, mask))


class Attention(nn.Module):
    """(B, F, C) → (B, F, C); ``bias`` (B, 1, F, F) or None is added to the scores."""

    def __init__(self, width: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        inner = config.num_heads * config.attention_head_dim
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width), nn.Dropout(config.dropout))

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, F, head)
            for linear in (self.to_q, self.to_k, self.to_v)
        )
        y = functional.scaled_dot_product_attention(q, k, v, bias)
        return self.to_out(y.transpose(1, 2).flatten(2))


class GeluProjection(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.proj(x))


class FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(GeluProjection(width, 4 * width), nn.Dropout(dropout), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """(B, F, C) → (B, F, C): pre-norm attention and feed-forward."""

    def __init__(self, width: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, config)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, config.dropout)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x = x + self.attn1(self.norm1(x), bias)
        return x + self.ff(self.norm3(x))


class Downsample(nn.Module):
    """(B, C, F) → (B, C, F / 2 rounded up)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """(B, C, F) → (B, C, 2 F)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TransformerStack(nn.ModuleList):
    """Transformer blocks between convolutions: (B, C, F) → (B, C, F)."""

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x = x.transpose(1, 2)  # (B, F, C)
        for block in self:
            x = block(x, bias)
        return x.transpose(1, 2)


class Level(nn.ModuleList):
    """One level of the U-Net: a residual block, transformer blocks and, except in the middle, resampling. The indices
    are those of the published checkpoint."""

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor | None, time: Tensor) -> tuple[Tensor, Tensor]:
        """The output of the level, and the same at the rate of the next level."""
        x = self[1](self[0](x, mask, time), bias)
        return x, self[2](masked(x, mask)) if len(self) > 2 else x


class Estimator(nn.Module):
    """Velocity (B, mel, F) of the noisy mel at time t, given mu, the speaker and the known mel.

    ``config.channels`` has the width of each level of the U-Net, a multiple of the 8 norm groups. Each level after the
    first has half the rate of the one before.
    """

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.in_channels, widths = config.in_channels, config.channels
        time_width = 4 * widths[0]
        self.time_mlp = TimeEmbedding(config.in_channels, time_width)

        def level(inputs: int, outputs: int, *resample: nn.Module) -> Level:
            blocks = TransformerStack(TransformerBlock(outputs, config) for _ in range(config.n_blocks))
            return Level([ResidualBlock(inputs, outputs, time_width), blocks, *resample])

        last = len(widths) - 1
        down_pairs = zip((config.in_channels, *widths[:-1]), widths, strict=True)
        self.down_blocks = nn.ModuleList(
            level(inputs, outputs, Downsample(outputs) if i < last else _same_rate(outputs))
            for i, (inputs, outputs) in enumerate(down_pairs)
        )
        self.mid_blocks = nn.ModuleList(level(widths[-1], widths[-1]) for _ in range(config.num_mid_blocks))
        up_pairs = zip(widths[::-1], (*widths[-2::-1], widths[0]), strict=True)
        self.up_blocks = nn.ModuleList(
            level(2 * inputs, outputs, Upsample(outputs) if i < last else _same_rate(outputs))
            for i, (inputs, outputs) in enumerate(up_pairs)
        )
        self.final_block = ConvBlock(widths[0], widths[0])
        self.final_proj = nn.Conv1d(widths[0], config.out_channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None, mu: Tensor, t: Tensor, speaker: Tensor, cond: Tensor) -> Tensor:
        """x, mu, cond (B, mel, F); mask (B, 1, F) or None; t (B,); speaker (B, mel) → (B, mel, F)."""
        time = self.time_mlp(time_sinusoid(t, self.in_channels).to(x.dtype))
        x = torch.cat([x, mu, speaker[:, :, None].expand(-1, -1, x.shape[2]), cond], dim=1)
        masks = [None if mask is None else mask[:, :, :: 2**i] for i in range(len(self.down_blocks))]
        # Without padding the bias would be constant over all scores, which has no effect.
        biases = [None if m is None else (m.transpose(1, 2) * m)[:, None] for m in masks]  # (B, 1, F, F)
        skips = []
        for level, m, bias in zip(self.down_blocks, masks, biases, strict=True):
            skip, x = level(x, m, bias, time)
            skips.append(skip)
        for level in self.mid_blocks:
            _, x = level(x, masks[-1], biases[-1], time)
        for level in self.up_blocks:
            skip = skips.pop()
            x = torch.cat([x[:, :, : skip.shape[2]], skip], dim=1)
            _, x = level(x, masks.pop(), biases.pop(), time)
        return masked(self.final_proj(masked(self.final_block(x, mask), mask)), mask)


def _same_rate(width: int) -> nn.Module:
    return nn.Conv1d(width, width, 3, padding=1)
