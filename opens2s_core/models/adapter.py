"""Audio encoder frames → LLM embeddings: gated strided convolutions, then a bottleneck with a residual.

Each convolution halves the rate: with the published two, 25 Hz becomes 6.25 Hz (paper section 2.1).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 2


def adapter_frames(frames: int, num_convs: int) -> int:
    """LLM positions of a clip of ``frames`` encoder frames (25 Hz): halved, rounded up, by each convolution."""
    for _ in range(num_convs):
        frames = -(-frames // STRIDE)
    return frames


class Subsampler(nn.Module):
    """Convolutions of stride 2, each followed by a GLU; the last one changes the width."""

    def __init__(self, in_dim: int, out_dim: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        last = len(kernel_sizes) - 1
        self.conv_layers = nn.ModuleList(
            nn.Conv1d(in_dim, 2 * (out_dim if i == last else in_dim), kernel, stride=STRIDE, padding=kernel // 2)
            for i, kernel in enumerate(kernel_sizes)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D_in), valid lengths (B,) → (B, T', D_out). Frames after the end of a clip are zeroed before every
        convolution, so the result of a clip does not depend on other clips."""
        x = x.transpose(1, 2)  # (B, D, T)
        for conv in self.conv_layers:
            valid = torch.arange(x.shape[2], device=x.device) < lengths[:, None]
            x = functional.glu(conv(x * valid[:, None].to(x.dtype)), dim=1)
            lengths = (lengths + STRIDE - 1) // STRIDE
        return x.transpose(1, 2)


class AudioAdapter(nn.Module):
    """Widths: ``in_dim`` of the encoder, ``out_dim`` of the LLM, ``inner_dim`` of the bottleneck."""

    def __init__(self, in_dim: int, out_dim: int, inner_dim: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.subsampler = Subsampler(in_dim, out_dim, kernel_sizes)
        self.fc1 = nn.Linear(out_dim, inner_dim, bias=False)
        self.fc2 = nn.Linear(inner_dim, out_dim, bias=False)
        self.ln = nn.LayerNorm(out_dim)

    def forward(self, clips: list[Tensor]) -> list[Tensor]:
        """Clips (T_i, D_encoder) → (T_i', D_llm), independent of one another; at least one clip of one frame."""
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        x = self.subsampler(nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths)
        x = self.ln(x + self.fc2(functional.gelu(self.fc1(x))))
        num_convs = len(self.subsampler.conv_layers)
        return [row[: adapter_frames(len(clip), num_convs)] for row, clip in zip(x, clips, strict=True)]
