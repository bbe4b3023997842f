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

    def adapt(self, clips: list[Tensor]) -> list[Tensor]:
        """Clips (T_i, D_encoder) → (T_i', D_llm), independent of one another; at least one clip of one frame."""
        counts = [len(clip) for clip in clips]
        return list(self(torch.cat(clips), counts).split(self.positions(counts)))

    def positions(self, counts: list[int]) -> list[int]:
        """LLM positions of clips of so many encoder frames."""
        return [adapter_frames(count, len(self.subsampler.conv_layers)) for count in counts]

    def forward(self, frames: Tensor, counts: list[int]) -> Tensor:
        """As :meth:`adapt` for the frames of all clips, (sum of T_i, D_encoder) → (sum of T_i', D_llm).

        One tensor in and one out: the hooks of ZeRO-3 have to run equally often on all ranks.
        """
        clips = nn.utils.rnn.pad_sequence(list(frames.split(counts)), batch_first=True)
        x = self.subsampler(clips, torch.tensor(counts, device=frames.device))
        x = torch.cat([row[:count] for row, count in zip(x, self.positions(counts), strict=True)])
        return self.ln(x + self.fc2(functional.gelu(self.fc1(x))))
