"""Log-mel → waveform: a neural source filter with inverse STFT (HiFT, the vocoder of the GLM-4-Voice decoder).

B items, F mel frames, S = F x hop samples, H harmonics above the fundamental, K bins of the small STFT.
Random numbers are arguments. Convolutions have no weight norm, which the published files have: load their state with
:func:`fold_weight_norm`.
Source: tests/golden/token2wav_tiny/README.md, facts 11 to 14.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.config import F0PredictorConfig, IstftConfig, VocoderConfig

EDGE_KERNEL = 7
"""Width of the first and the last convolution."""
F0_LAYERS = 5
F0_CONTEXT = F0_LAYERS
"""Mel frames per side that the pitch of a frame depends on: one for each layer of kernel 3."""
MAX_MAGNITUDE = 100.0
QUIET = -3.0
"""Initial bias of the log magnitude, so that an untrained voice is not loud."""


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each pair ``weight_g``, ``weight_v`` by its ``weight`` (norm over every axis but 0)."""
    folded = {}
    for name, value in state.items():
        layer = name.removesuffix("_v")
        if name.endswith("weight_v") and f"{layer}_g" in state:
            folded[layer] = value * (state[f"{layer}_g"] / _norm(value))
        elif not (name.endswith("weight_g") and f"{name.removesuffix('_g')}_v" in state):
            folded[name] = value
    return folded


def unfold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each ``weight`` by ``weight_g`` and ``weight_v`` in the layers with weight norm in the published files:
    all convolutions but those of the source. :func:`fold_weight_norm` restores ``state`` bit for bit."""
    unfolded = {}
    for name, value in state.items():
        if name.endswith(".weight") and value.dim() == 3 and not name.startswith("source_downs."):
            norm = _norm(value)
            unfolded[f"{name}_g"] = norm
            unfolded[f"{name}_v"] = value.where(norm > 0, 1)  # a zero vector has no direction
        else:
            unfolded[name] = value
    return unfolded


def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)


def samples_per_frame(config: VocoderConfig) -> int:
    return math.prod(config.upsample_rates) * config.istft_params.hop_len


def decode_context(config: VocoderConfig) -> int:
    """Frames per side, of mel and of source, that the waveform of a frame depends on."""
    istft = config.istft_params
    samples = samples_per_frame(config)
    context = math.ceil(istft.n_fft / 2 / istft.hop_len) + EDGE_KERNEL // 2 + 1  # the last 1 is the reflected frame
    source = 0  # samples
    rate = 1  # spectrum frames for each frame of the level
    levels = zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    for i, (factor, kernel) in reversed(list(enumerate(levels))):
        kernels = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        context += max(_block_context(*block) for block in kernels)
        own = _block_context(config.source_resblock_kernel_sizes[i], config.source_resblock_dilation_sizes[i])
        spectrum = (context + own) * rate + (0 if rate == 1 else rate + rate // 2)
        source = max(source, spectrum * istft.hop_len + istft.n_fft // 2)
        context = math.ceil((context + kernel - 1 - (kernel - factor) // 2) / factor)
        rate *= factor
    return max(context + EDGE_KERNEL // 2, math.ceil(source / samples))


def _block_context(kernel: int, dilations: tuple[int, ...]) -> int:
    return kernel // 2 * (sum(dilations) + len(dilations))


class Snake(nn.Module):
    """(B, C, F) → (B, C, F), with a learned frequency for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        half = 0.5 / (alpha + 1e-9)
        # x + sin²(αx) / α by the double-angle formula: fewer passes over the largest tensors.
        return torch.addcmul(x + half, (2 * alpha * x).cos(), -half)


class ResBlock(nn.Module):
    """(B, C, F) → (B, C, F): a residual pair of convolutions for each dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Module:
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=kernel // 2 * dilation)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        layers = (self.activations1, self.convs1, self.activations2, self.convs2)
        for activation1, conv1, activation2, conv2 in zip(*layers, strict=True):
            x = x + conv2(activation2(conv1(activation1(x))))
        return x


class F0Predictor(nn.Module):
    def __init__(self, config: F0PredictorConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(F0_LAYERS):
            inputs = config.cond_channels if i else config.in_channels
            layers += [nn.Conv1d(inputs, config.cond_channels, 3, padding=1), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(config.cond_channels, config.num_class)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, mel, F) → Hz (B, F)."""
        return self.classifier(self.condnet(mel).transpose(1, 2)).squeeze(-1).abs()


class Source(nn.Module):
    """The excitation: sines at the harmonics of the pitch in voiced frames, noise elsewhere."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.l_linear = nn.Linear(config.nb_harmonics + 1, 1)

    def forward(self, harmonics: Tensor) -> Tensor:
        """(B, H + 1, S) → (B, 1, S)."""
        return self.l_linear(harmonics.transpose(1, 2)).transpose(1, 2).tanh()

    def harmonics(self, f0: Tensor, phase_u: Tensor, noise: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Vocoder.source`; returns the harmonics (B, H + 1, S) before they are mixed."""
        config = self.config
        pitch = f0.repeat_interleave(samples_per_frame(config), dim=1)  # (B, S)
        # The phase accumulates over a whole reply: float32 would drift audibly within minutes.
        cycles = start[:, None] + (pitch.double() / config.sampling_rate).cumsum(1)
        order = torch.arange(1, config.nb_harmonics + 2, device=f0.device)[:, None]
        offset = math.pi * (2 * phase_u - 1) * (order > 1)  # the fundamental has no offset
        sines = torch.sin(2 * math.pi * (order * cycles[:, None] % 1).to(f0.dtype) + offset)  # (B, H + 1, S)
        voiced = (pitch > config.nsf_voiced_threshold)[:, None].to(f0.dtype)
        deviation = voiced * config.nsf_sigma + (1 - voiced) * config.nsf_alpha / 3
        return config.nsf_alpha * sines * voiced + deviation * noise, cycles[:, -1] % 1


class Vocoder(nn.Module):
    """Parameter names are those of the published ``hift.pt``, with weight norm folded."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.istft_params.n_fft // 2 + 1
        self.m_source = Source(config)
        self.f0_predictor = F0Predictor(config.f0_predictor)
        widths = [config.base_channels // 2**i for i in range(len(config.upsample_rates) + 1)]
        self.conv_pre = nn.Conv1d(config.in_channels, widths[0], EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        levels = zip(widths, widths[1:], config.upsample_rates, config.upsample_kernel_sizes, strict=False)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(inputs, outputs, kernel, factor, padding=(kernel - factor) // 2)
            for inputs, outputs, factor, kernel in levels
        )
        strides = [math.prod(config.upsample_rates[i + 1 :]) for i in range(len(config.upsample_rates))]
        self.source_downs = nn.ModuleList(
            nn.Conv1d(2 * self.bins, width, 1 if stride == 1 else 2 * stride, stride, padding=stride // 2)
            for width, stride in zip(widths[1:], strides, strict=True)
        )
        source_kernels = zip(config.source_resblock_kernel_sizes, config.source_resblock_dilation_sizes, strict=True)
        self.source_resblocks = nn.ModuleList(
            ResBlock(width, *block) for width, block in zip(widths[1:], source_kernels, strict=True)
        )
        kernels = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(ResBlock(width, *block) for width in widths[1:] for block in kernels)
        self.conv_post = nn.Conv1d(widths[-1], 2 * self.bins, EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        assert self.conv_post.bias is not None
        nn.init.constant_(self.conv_post.bias[: self.bins], QUIET)

    def forward(self, mel: Tensor, phase_u: Tensor, noise: Tensor, cached_source: Tensor | None = None) -> Tensor:
        """Waveform (B, S) in [-audio_limit, audio_limit] of a whole mel (B, mel, F).

        phase_u (B, H + 1, 1) uniform in [0, 1), noise (B, H + 1, S) normal; ``cached_source`` (B, 1, s) replaces the
        start of the new source.
        """
        return self.decode(mel, self.excite(mel, phase_u, noise, cached_source))

    def excite(self, mel: Tensor, phase_u: Tensor, noise: Tensor, cached_source: Tensor | None = None) -> Tensor:
        """The excitation (B, 1, S) that :meth:`forward` decodes."""
        start = mel.new_zeros(mel.shape[0], dtype=torch.float64)
        source, _ = self.source(self.f0(mel), phase_u, noise, start)
        if cached_source is not None:
            source = torch.cat([cached_source, source[:, :, cached_source.shape[2] :]], dim=2)
        return source

    def f0(self, mel: Tensor) -> Tensor:
        """Pitch in Hz (B, F); frames below the voiced threshold are unvoiced."""
        return self.f0_predictor(mel)

    def source(self, f0: Tensor, phase_u: Tensor, noise: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Excitation (B, 1, S) of pitch (B, F), and the phase at its end.

        Phases are in cycles of the fundamental, [0, 1), float64 (B,); ``start`` is 0 at the beginning of a reply.
        """
        harmonics, end = self.m_source.harmonics(f0, phase_u, noise, start)
        return self.m_source(harmonics), end

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """Waveform (B, S) of mel (B, mel, F) and source (B, 1, S)."""
        spectrum = self.source_spectrum(source)
        x = self.conv_pre(mel)
        blocks = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, self.config.lrelu_slope))
            if i == len(self.ups) - 1:
                x = functional.pad(x, (1, 0), mode="reflect")
            x = x + self.source_resblocks[i](self.source_downs[i](spectrum))
            level = self.resblocks[i * blocks : (i + 1) * blocks]
            x = torch.stack([block(x) for block in level]).mean(0)
        x = self.conv_post(functional.leaky_relu(x)).to(source.dtype)  # (B, 2 K, frames of the small STFT)
        magnitude = x[:, : self.bins].exp().clamp(max=MAX_MAGNITUDE)
        wave = _istft(torch.polar(magnitude, x[:, self.bins :].sin()), self.config.istft_params)
        return wave.clamp(-self.config.audio_limit, self.config.audio_limit)

    def source_spectrum(self, source: Tensor) -> Tensor:
        """(B, 1, S) → (B, 2 K, S / istft hop + 1), real parts before imaginary ones."""
        istft = self.config.istft_params
        window = torch.hann_window(istft.n_fft, device=source.device, dtype=source.dtype)
        spectrum = torch.stft(source[:, 0], istft.n_fft, istft.hop_len, window=window, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], dim=1)


def _istft(spectrum: Tensor, config: IstftConfig) -> Tensor:
    window = torch.hann_window(config.n_fft, device=spectrum.device, dtype=spectrum.real.dtype)
    return torch.istft(spectrum, config.n_fft, config.hop_len, window=window)
