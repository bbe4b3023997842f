"""Units → log-mel by conditional flow matching (first half of the GLM-4-Voice decoder).

B items, N units, F mel frames. Noise and all other random numbers are arguments.
Source: tests/golden/token2wav_tiny/README.md, facts 1, 9 and 10.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.config import FlowConfig, FlowDecoderConfig, Token2WavConfig
from opens2s_core.models.flow_encoder import FlowEncoder, LengthRegulator
from opens2s_core.models.flow_estimator import Estimator, masked

STEPS = 10
"""Euler steps of the sampler, as published."""


def frames_per_unit(config: Token2WavConfig) -> Fraction:
    """Mel frames of one unit, exactly (published: 441/64)."""
    vocoder = config.hift
    hop = math.prod(vocoder.upsample_rates) * vocoder.istft_params.hop_len
    return Fraction(vocoder.sampling_rate) / Fraction(config.flow.input_frame_rate) / hop


def mel_frames(units: int, config: Token2WavConfig) -> int:
    """Mel frames of the first ``units`` units, rounded down in exact arithmetic (published: 441 n // 64)."""
    return math.floor(units * frames_per_unit(config))


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowBatch:
    """A batch of training speech, padded on the right."""

    units: Tensor  # (B, N) int64
    unit_lengths: Tensor  # (B,)
    mel: Tensor  # (B, mel, F)
    mel_lengths: Tensor  # (B,)
    speaker: Tensor  # (B, spk_embed_dim), zero if unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowNoise:
    """The random numbers of one training step."""

    prefix: Tensor  # (B,) number of leading mel frames that are known
    time: Tensor  # (B,) uniform in [0, 1)
    gaussian: Tensor  # (B, mel, F) normal
    guidance: Tensor  # (B,) uniform in [0, 1): conditions are dropped up to training_cfg_rate


class FlowDecoder(nn.Module):
    """The sampler of the velocity field. ``mu`` is the mel predicted from the units, ``cond`` the known mel."""

    def __init__(self, config: FlowDecoderConfig) -> None:
        super().__init__()
        self.params = config.cfm_params
        self.estimator = Estimator(config.estimator)

    def forward(self, mu: Tensor, speaker: Tensor, cond: Tensor, noise: Tensor, steps: int = STEPS) -> Tensor:
        """mu, cond, noise (B, mel, F), speaker (B, mel) → log-mel (B, mel, F) after ``steps`` Euler steps.

        ``noise`` is standard normal; the configured temperature is applied here.
        """
        x, t = self.params.temperature * noise, noise.new_zeros(())
        mu, speaker, cond = (with_unconditional(condition) for condition in (mu, speaker, cond))
        for target in time_steps(steps, noise)[1:]:
            step = target - t
            x = x + step * self.velocity(x, mu, t, speaker, cond)
            t = t + step
        return x

    def velocity(self, x: Tensor, mu: Tensor, t: Tensor, speaker: Tensor, cond: Tensor) -> Tensor:
        """Velocity (B, mel, F) with classifier-free guidance, from one batch with and without conditions.

        x (B, mel, F), t () in [0, 1]; mu, cond (2 B, mel, F) and speaker (2 B, mel) from :func:`with_unconditional`.
        """
        both = self.estimator(torch.cat([x, x]), None, mu, t.expand(len(mu)), speaker, cond)
        conditional, unconditional = both.chunk(2)
        rate = self.params.inference_cfg_rate
        return (1 + rate) * conditional - rate * unconditional

    def loss(
        self, mel: Tensor, mask: Tensor | None, mu: Tensor, speaker: Tensor, cond: Tensor, noise: FlowNoise
    ) -> Tensor:
        """Mean squared error of the velocity over valid frames and mel channels, a scalar.

        mel, mu, cond (B, mel, F), mask (B, 1, F) of ones and zeros or None, speaker (B, mel).
        """
        t = cosine_schedule(noise.time)[:, None, None]
        rest = 1 - self.params.sigma_min
        noisy = (1 - rest * t) * noise.gaussian + t * mel
        keep = (noise.guidance > self.params.training_cfg_rate).to(mel.dtype)[:, None]
        mu, speaker, cond = mu * keep[:, :, None], speaker * keep, cond * keep[:, :, None]
        velocity = self.estimator(noisy, mask, mu, t[:, 0, 0], speaker, cond)
        error = masked(velocity - (mel - rest * noise.gaussian), mask).square()
        return error.mean() if mask is None else error.sum() / (mask.sum() * mel.shape[1])


class Flow(nn.Module):
    """Units → log-mel at :func:`mel_frames` frames; parameter names are those of the published ``flow.pt``."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.input_embedding = nn.Embedding(config.vocab_size, config.input_size)
        self.spk_embed_affine_layer = nn.Linear(config.spk_embed_dim, config.output_size)
        self.encoder = FlowEncoder(config.encoder)
        self.encoder_proj = nn.Linear(config.encoder.output_size, config.output_size)
        self.length_regulator = LengthRegulator(config.length_regulator)
        self.decoder = FlowDecoder(config.decoder)

    def forward(self, units: Tensor, prompt: Tensor, noise: Tensor, speaker: Tensor) -> Tensor:
        """Mel of the units after the prompt.

        units (B, N), those of the prompt included; prompt (B, mel, P), the known mel, P may be 0; noise (B, mel, F) for
        the frames of all units; speaker (B, spk_embed_dim), zero for the default voice. Returns (B, mel, F - P).
        """
        known, frames = prompt.shape[2], noise.shape[2]
        hidden = self.encode(units, torch.ones_like(units, dtype=torch.bool))
        mu = self.length_regulator(hidden, frames)
        cond = functional.pad(prompt, (0, frames - known))
        return self.decoder(mu, self.embed_speaker(speaker), cond, noise)[:, :, known:]

    def forward_window(
        self, units: Tensor, unit_of_frame: Tensor, cond: Tensor, noise: Tensor, speaker: Tensor
    ) -> Tensor:
        """Mel (B, mel, F) of a window of a longer reply.

        units (B, N) of the window; unit_of_frame (B, F), the index of the unit of each frame; cond (B, mel, F), the
        known mel, zero elsewhere; noise (B, mel, F); speaker (B, spk_embed_dim).
        """
        hidden = self.encode(units, torch.ones_like(units, dtype=torch.bool))
        mu = self.length_regulator.forward_indexed(hidden, unit_of_frame)
        return self.decoder(mu, self.embed_speaker(speaker), cond, noise)

    def encode(self, units: Tensor, valid: Tensor) -> Tensor:
        """Units (B, N) with validity (B, N) → (B, N, mel). Negative ids are treated as 0."""
        embedded = self.input_embedding(units.clamp(min=0)) * valid[:, :, None]
        return self.encoder_proj(self.encoder(embedded, valid))

    def embed_speaker(self, speaker: Tensor) -> Tensor:
        """Speaker vectors (B, spk_embed_dim), normalised unless zero → (B, mel)."""
        return self.spk_embed_affine_layer(functional.normalize(speaker, dim=1))

    def loss(self, batch: FlowBatch, noise: FlowNoise) -> Tensor:
        """Flow-matching loss of a batch, a scalar."""
        hidden = self.encode(batch.units, _valid(batch.unit_lengths, batch.units.shape[1]))
        frames = batch.mel.shape[2]
        mask = _valid(batch.mel_lengths, frames)[:, None].to(hidden.dtype)  # (B, 1, F)
        mu = self.length_regulator(hidden, frames) * mask
        cond = batch.mel * _valid(noise.prefix, frames)[:, None]
        return self.decoder.loss(batch.mel, mask, mu, self.embed_speaker(batch.speaker), cond, noise)


def with_unconditional(condition: Tensor) -> Tensor:
    """Conditions (B, ...) → (2 B, ...), followed by zeros: the batch of classifier-free guidance."""
    return torch.cat([condition, torch.zeros_like(condition)])


def cosine_schedule(t: Tensor) -> Tensor:
    """The cosine schedule on [0, 1]: slow at the start."""
    return 1 - torch.cos(t * (0.5 * math.pi))


def time_steps(steps: int, like: Tensor) -> Tensor:
    """The (steps + 1,) times of the sampler, from 0 to 1."""
    return cosine_schedule(torch.linspace(0, 1, steps + 1, device=like.device, dtype=like.dtype))


def _valid(lengths: Tensor, size: int) -> Tensor:
    return torch.arange(size, device=lengths.device) < lengths[:, None]  # (B, size)
