"""Multi-period and multi-resolution discriminators of waveforms, and the GAN losses.

Sources: multi-period discriminator and feature matching, HiFi-GAN (arXiv 2010.05646, sections 2.3 and 2.4);
multi-resolution discriminator, UnivNet (arXiv 2106.07889, section 2.2); least squares, LSGAN (arXiv 1611.04076).
B waveforms of S samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

_SLOPE = 0.1
_PERIOD_KERNEL = 5
_PERIOD_STRIDE = 3
_RESOLUTION_KERNEL = (3, 9)
_RESOLUTION_STRIDES = (1, 2, 2, 2)
_LAST_KERNEL = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorsConfig:
    """Sizes; the defaults are those of the papers. ``resolutions`` are (FFT size, hop, window) in samples."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)
    resolutions: tuple[tuple[int, int, int], ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    resolution_channels: int = 32


@dataclass(frozen=True, slots=True)
class DiscriminatorOutput:
    """Output of one discriminator for a batch."""

    scores: Tensor  # (B, n): 1 for recordings, 0 for generated audio
    features: tuple[Tensor, ...]  # activations of the layers, (B, C, ...) each


class PeriodDiscriminator(nn.Module):
    """Convolutions over samples that are one period apart: the waveform as (S / period, period)."""

    def __init__(self, period: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.period = period
        last = len(channels) - 1
        padding = (_PERIOD_KERNEL // 2, 0)
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(inputs, outputs, (_PERIOD_KERNEL, 1), (1 if i == last else _PERIOD_STRIDE, 1), padding)
            )
            for i, (inputs, outputs) in enumerate(zip((1, *channels[:-1]), channels, strict=True))
        )
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, (_LAST_KERNEL, 1), padding=(_LAST_KERNEL // 2, 0)))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """Waveform (B, S)."""
        rest = -wave.shape[1] % self.period
        x = functional.pad(wave[:, None], (0, rest), mode="reflect").unflatten(2, (-1, self.period))
        return _discriminate(self.layers, self.score, x)


class ResolutionDiscriminator(nn.Module):
    """Convolutions over STFT magnitudes (B, frames, bins)."""

    def __init__(self, resolution: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        padding = (_RESOLUTION_KERNEL[0] // 2, _RESOLUTION_KERNEL[1] // 2)
        square = _LAST_KERNEL // 2
        layers = [
            weight_norm(nn.Conv2d(channels if i else 1, channels, _RESOLUTION_KERNEL, (1, stride), padding))
            for i, stride in enumerate(_RESOLUTION_STRIDES)
        ]
        layers.append(weight_norm(nn.Conv2d(channels, channels, _LAST_KERNEL, padding=square)))
        self.layers = nn.ModuleList(layers)
        self.score = weight_norm(nn.Conv2d(channels, 1, _LAST_KERNEL, padding=square))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """Waveform (B, S)."""
        size, hop, width = self.resolution
        magnitude = stft_magnitude(wave, size, hop, width)
        return _discriminate(self.layers, self.score, magnitude.transpose(1, 2)[:, None])


class Discriminators(nn.Module):
    """All discriminators."""

    def __init__(self, config: DiscriminatorsConfig) -> None:
        super().__init__()
        periods = (PeriodDiscriminator(period, config.period_channels) for period in config.periods)
        resolutions = (ResolutionDiscriminator(size, config.resolution_channels) for size in config.resolutions)
        self.discriminators = nn.ModuleList([*periods, *resolutions])

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        """Waveform (B, S), S at least half the largest FFT size."""
        return [discriminator(wave) for discriminator in self.discriminators]


def stft_magnitude(wave: Tensor, size: int, hop: int, width: int) -> Tensor:
    """Magnitudes (B, size / 2 + 1, S // hop + 1) of a waveform (B, S), Hann window of ``width``, in float32."""
    wave = wave.float()
    window = torch.hann_window(width, device=wave.device)
    spectrum = torch.stft(wave, size, hop, width, window, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=1e-8).sqrt()  # the gradient of the magnitude is infinite at 0


def discriminator_loss(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Tensor:
    """Least squares with target 1 for recordings and 0 for generated audio. Summed over discriminators."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([(1 - r.scores).square().mean() + f.scores.square().mean() for r, f in pairs]).sum()


def adversarial_loss(fake: list[DiscriminatorOutput]) -> Tensor:
    """Least squares with target 1 for generated audio. Summed over discriminators."""
    return torch.stack([(1 - f.scores).square().mean() for f in fake]).sum()


def feature_loss(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Tensor:
    """Mean absolute difference of features to those of recordings, summed over layers and discriminators."""
    layers = [pair for r, f in zip(real, fake, strict=True) for pair in zip(r.features, f.features, strict=True)]
    return torch.stack([(target.detach() - feature).abs().mean() for target, feature in layers]).sum()


def _discriminate(layers: nn.ModuleList, score: nn.Module, x: Tensor) -> DiscriminatorOutput:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), _SLOPE)
        features.append(x)
    return DiscriminatorOutput(score(x).flatten(1).float(), tuple(features))
