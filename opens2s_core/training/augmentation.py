"""Random changes of the input audio in training: room, noise, telephone, gain and SpecAugment.

All random numbers come from the given generator, so an effect is a pure function of the clip and the generator's seed.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio.functional
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import SAMPLE_RATE, Waveform, resample
from opens2s_core.config import ConfigError

_DIRECT_SECONDS = 0.0025
"""Reflections start after it; until then a room response is the direct path."""

_LOWEST_NOISE_HZ = 20.0
"""Noise has a flat spectrum below, where nothing is audible."""

_TELEPHONE_RATE = 8_000
_TELEPHONE_BAND = (300.0, 3_400.0)  # Hz
_MU_LAW_LEVELS = 256
_BUTTERWORTH_Q = (0.5412, 1.3066)  # of the two second-order sections of a Butterworth filter of order 4


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentationConfig:
    """The probability of each effect for a clip, and the ranges from which its settings are sampled uniformly."""

    reverberation_probability: float = 0.2
    reverberation_seconds: tuple[float, float] = (0.2, 0.8)  # RT60, in which the energy falls by 60 dB
    direct_to_reverberant_db: tuple[float, float] = (0.0, 15.0)
    noise_probability: float = 0.4
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    noise_exponent: tuple[float, float] = (0.0, 1.0)  # power falls with frequency to it: 0 is white, 1 is pink
    telephone_probability: float = 0.1
    gain_probability: float = 0.5
    gain_db: tuple[float, float] = (-15.0, 6.0)
    mask_probability: float = 0.5  # SpecAugment (arXiv 1904.08779)
    time_masks: int = 2
    time_mask_frames: int = 50  # longest mask, at 100 frames a second
    time_mask_share: float = 0.1  # longest mask as a share of the clip
    frequency_masks: int = 2
    frequency_mask_share: float = 0.15  # widest mask as a share of the mel bins

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name.endswith(("_probability", "_share")) and not 0 <= value <= 1:
                raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")
            if isinstance(value, int) and value < 0:
                raise ConfigError(f"{name}: expected 0 or more, got {value}")
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise ConfigError(f"{name}: expected the smaller number first, got {value}")
        if self.reverberation_seconds[0] <= 0:
            raise ConfigError(f"reverberation_seconds: expected positive numbers, got {self.reverberation_seconds}")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Changes clips and their features at random. Inputs are never modified."""

    config: AugmentationConfig

    def waveform(self, clip: Waveform, rng: np.random.Generator) -> Waveform:
        """A 16 kHz waveform (n,) in [-1, 1] → another of the same length and alignment, in [-1, 1].

        In the order of a call: room, noise in it, telephone, gain. Where the result exceeds 1 it is scaled down, not
        clipped. A clip to which nothing happens is returned as it is.
        """
        config, changed = self.config, clip
        if not len(clip):
            return clip
        if rng.random() < config.reverberation_probability:
            seconds = rng.uniform(*config.reverberation_seconds)
            changed = _reverberated(changed, seconds, rng.uniform(*config.direct_to_reverberant_db), rng)
        if rng.random() < config.noise_probability:
            snr, exponent = rng.uniform(*config.noise_snr_db), rng.uniform(*config.noise_exponent)
            changed = _noisy(changed, snr, exponent, rng)
        if rng.random() < config.telephone_probability:
            changed = _telephone(changed)
        if rng.random() < config.gain_probability:
            changed = changed * _amplitude(rng.uniform(*config.gain_db))
        return clip if changed is clip else _limited(changed)

    def features(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        """SpecAugment without time warping: log-mel (mel, F) → the same shape, with masks that are filled with the mean
        of the clip.

        ``mel`` must be a clip's own frames without padding, or masks and mean would depend on the padding.
        """
        config = self.config
        if not mel.numel() or rng.random() >= config.mask_probability:
            return mel
        bins, frames = mel.shape
        masked, mean = mel.clone(), mel.mean()
        longest = min(config.time_mask_frames, math.floor(config.time_mask_share * frames))
        for _ in range(config.time_masks):
            masked[:, _mask(frames, longest, rng)] = mean
        for _ in range(config.frequency_masks):
            masked[_mask(bins, math.floor(config.frequency_mask_share * bins), rng)] = mean
        return masked


def room_response(seconds: float, direct_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthetic impulse response of a room at 16 kHz, (k,): a direct path of 1 at its first sample, then noise that
    decays exponentially by 60 dB in ``seconds``; ``direct_db`` is the energy of the direct path relative to the rest.
    """
    start = round(_DIRECT_SECONDS * SAMPLE_RATE)
    times = np.arange(start, max(round(seconds * SAMPLE_RATE), start + 1)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    tail *= _amplitude(-direct_db) / np.sqrt(np.square(tail).sum())
    return np.concatenate([[1.0], np.zeros(start - 1), tail]).astype(np.float32)


def coloured_noise(n: int, exponent: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise (n,) at 16 kHz with a power spectrum of 1 / frequency ** exponent, and a mean square of 1."""
    padded = 1 << (n - 1).bit_length()  # a fast size, and its end does not join its start
    spectrum = np.fft.rfft(rng.standard_normal(padded))
    frequencies = np.maximum(np.fft.rfftfreq(padded, 1 / SAMPLE_RATE), _LOWEST_NOISE_HZ)
    noise = np.fft.irfft(spectrum * frequencies ** (-exponent / 2), padded)[:n]
    return (noise / np.sqrt(np.square(noise).mean())).astype(np.float32)


def _reverberated(clip: Waveform, seconds: float, direct_db: float, rng: np.random.Generator) -> Waveform:
    """The direct path stays in place, the tail after the end is cut, and the level is that of the clip."""
    response = torch.from_numpy(room_response(seconds, direct_db, rng))
    wet = torchaudio.functional.fftconvolve(torch.from_numpy(clip), response)[: len(clip)].numpy()
    level = _rms(wet)
    return wet * np.float32(_rms(clip) / level) if level else clip


def _noisy(clip: Waveform, snr_db: float, exponent: float, rng: np.random.Generator) -> Waveform:
    """The ratio is that of the whole clip, pauses included; silence gets no noise."""
    return clip + coloured_noise(len(clip), exponent, rng) * np.float32(_rms(clip) * _amplitude(-snr_db))


def _telephone(clip: Waveform) -> Waveform:
    """A telephone line: 300 to 3400 Hz at a rate of 8 kHz, 8-bit mu-law."""
    line = torch.from_numpy(resample(_limited(clip), SAMPLE_RATE, _TELEPHONE_RATE))
    for q in _BUTTERWORTH_Q:
        line = torchaudio.functional.highpass_biquad(line, _TELEPHONE_RATE, _TELEPHONE_BAND[0], q)
        line = torchaudio.functional.lowpass_biquad(line, _TELEPHONE_RATE, _TELEPHONE_BAND[1], q)
    codes = torchaudio.functional.mu_law_encoding(line.clamp(-1, 1), _MU_LAW_LEVELS)
    received = torchaudio.functional.mu_law_decoding(codes, _MU_LAW_LEVELS).numpy()
    return resample(received, _TELEPHONE_RATE, SAMPLE_RATE)[: len(clip)]


def _limited(clip: Waveform) -> Waveform:
    peak = np.abs(clip).max()
    # A division by the peak itself could be one rounding step above 1.
    return np.clip(clip / peak, -1, 1) if peak > 1 else clip


def _mask(size: int, widest: int, rng: np.random.Generator) -> slice:
    width = int(rng.integers(widest + 1))
    start = int(rng.integers(size - width + 1))
    return slice(start, start + width)


def _amplitude(db: float) -> float:
    return float(10 ** (db / 20))


def _rms(clip: Waveform) -> float:
    return float(np.sqrt(np.square(clip, dtype=np.float64).mean()))
