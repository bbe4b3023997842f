"""The published streaming of token2wav, including its faults: for parity tests and as the baseline of the bounded
engine.

Every call renders the whole reply again after the mel already returned, holds back its last frames and cross-fades them
with those of the next call. Kept as published: the fade's halves sum to more than one, a frame is vocoded twice, later
calls are a frame short, the harmonic phase restarts. Changed: dropout is off (the published code leaves it on), and a
private generator replaces the global random state.

Source: tests/golden/token2wav_tiny/README.md, "Streaming" and facts 9, 10, 12 and 15.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from opens2s_core.config import Token2WavConfig
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder, samples_per_frame

SEED = 42
"""Seed of the generator that every call creates."""
OVERLAP_UNITS = 5
CACHED_FRAMES = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceStreaming:
    """Parameters of the published streaming."""

    unit_rate: float  # units a second
    sampling_rate: int  # Hz
    hop: int  # samples; used with the rate to count mel frames, both independent of the vocoder's
    mel_overlap: int  # frames held back and cross-faded
    mel_cache: int  # frames that are vocoded a second time
    source_cache: int  # samples of speech held back and of excitation kept

    @classmethod
    def from_config(cls, config: Token2WavConfig, sampling_rate: int = 22050, hop: int = 256) -> "ReferenceStreaming":
        """The published values; rate and hop are constants there, not the vocoder's."""
        rate = config.flow.input_frame_rate
        return cls(
            unit_rate=rate,
            sampling_rate=sampling_rate,
            hop=hop,
            mel_overlap=reference_frames(OVERLAP_UNITS, rate, sampling_rate, hop),
            mel_cache=CACHED_FRAMES,
            source_cache=CACHED_FRAMES * hop,
        )

    def frames(self, units: int) -> int:
        """Mel frames of the first ``units`` units."""
        return reference_frames(units, self.unit_rate, self.sampling_rate, self.hop)


def reference_frames(units: int, unit_rate: float, sampling_rate: int, hop: int) -> int:
    """Mel frames of ``units`` units, computed in float32, which may round to one too few."""
    return int(torch.tensor(units) / unit_rate * sampling_rate / hop)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceNoise:
    """The random numbers of one call: F frames of the reply so far, S samples of the vocoder."""

    z: Tensor  # (1, mel, F) normal
    phase_u: Tensor  # (1, H + 1, 1) uniform in [0, 1)
    source_noise: Tensor  # (1, H + 1, S) normal


def seeded_noise(config: Token2WavConfig, frames: int, vocoder_frames: int) -> ReferenceNoise:
    """The random numbers of every published call, without the last ones of the vocoder, which are not used."""
    generator = torch.Generator().manual_seed(SEED)
    harmonics, samples = config.hift.nb_harmonics + 1, vocoder_frames * samples_per_frame(config.hift)
    z = torch.randn(1, config.flow.output_size, frames, generator=generator)
    phase_u = torch.rand(1, harmonics, 1, generator=generator)
    return ReferenceNoise(z=z, phase_u=phase_u, source_noise=torch.randn(1, harmonics, samples, generator=generator))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tails:
    """The state that a call passes to the next one."""

    mel_overlap: Tensor  # (1, mel, frames) to fade out
    mel: Tensor  # (1, mel, frames) to vocode again
    source: Tensor  # (1, 1, samples) to begin the next excitation
    speech: Tensor  # (1, samples) held back and computed again by the next call


@dataclass(slots=True)
class ReferenceStream:
    """One reply: N units so far, P mel frames returned so far; no tails before the first and after the final call."""

    units: Tensor  # (1, N)
    mel: Tensor  # (1, mel, P)
    tails: Tails | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceCall:
    """The output of one call."""

    mel_raw: Tensor  # (1, mel, frames) of the flow, before the cross-fade
    mel: Tensor  # (1, mel, F), input of the vocoder, continued by later calls
    source: Tensor  # (1, 1, S) excitation
    speech: Tensor  # (1, samples) in [-audio_limit, audio_limit], to be played


class ReferenceToken2Wav:
    """The published streaming of one flow and one vocoder, batch size 1, on the device of their weights."""

    def __init__(self, flow: Flow, vocoder: Vocoder, streaming: ReferenceStreaming | None = None) -> None:
        self.flow, self.vocoder = flow.eval(), vocoder.eval()
        self.config = Token2WavConfig(flow=flow.config, hift=vocoder.config)
        self.streaming = streaming or ReferenceStreaming.from_config(self.config)
        self._device = flow.encoder_proj.weight.device
        mel, samples = self._zeros(1, self.config.flow.output_size, 0), self._zeros(1, 1, 0)
        self._no_tails = Tails(mel_overlap=mel, mel=mel, source=samples, speech=samples[0])

    def open(self) -> ReferenceStream:
        return ReferenceStream(self._zeros(1, 0).long(), self._no_tails.mel)

    @torch.inference_mode()
    def call(
        self, stream: ReferenceStream, units: Tensor, *, final: bool, noise: ReferenceNoise | None = None
    ) -> ReferenceCall:
        """Synthesise the next units (1, n) of a reply; ``noise`` defaults to the published one.

        Raises ``ValueError`` if the units have fewer frames than were held back, or none to be played; the published
        code fails too.
        """
        tails = stream.tails or self._no_tails
        all_units = torch.cat([stream.units, units.to(self._device)], dim=1)
        frames, held = self.streaming.frames(all_units.shape[1]), 0 if final else self.streaming.mel_overlap
        new, least = frames - stream.mel.shape[2], max(tails.mel_overlap.shape[2], held + 1)
        if new < least:
            raise ValueError(f"expected units for at least {least} frames, got {units.shape[1]} units for {new}")
        vocoder_frames = tails.mel.shape[2] + new - held
        noise = noise or seeded_noise(self.config, frames, vocoder_frames)
        z, phase_u, source_noise = (value.to(self._device) for value in (noise.z, noise.phase_u, noise.source_noise))
        raw = self.flow(all_units, stream.mel, z, self._zeros(1, self.config.flow.spk_embed_dim))
        faded = torch.cat([tails.mel, cross_fade(raw, tails.mel_overlap)], dim=2)
        mel = faded[:, :, :vocoder_frames]
        source = self.vocoder.excite(mel, phase_u, source_noise, tails.source)
        speech = self.vocoder.decode(mel, source)
        stream.units, stream.mel = all_units, torch.cat([stream.mel, mel], dim=2)
        stream.tails = None if final else self._keep(faded, mel, source, speech)
        kept = speech.shape[1] - (0 if final else self.streaming.source_cache)
        return ReferenceCall(mel_raw=raw, mel=mel, source=source, speech=speech[:, :kept])

    @torch.inference_mode()
    def flush(self, stream: ReferenceStream) -> Tensor:
        """Speech (1, samples) of the frames that the last call held back; empty if there was no call.

        The published code drops these 0.41 s.
        """
        tails, stream.tails = stream.tails or self._no_tails, None
        mel = torch.cat([tails.mel, tails.mel_overlap], dim=2)
        if not mel.shape[2]:
            return self._no_tails.speech
        noise = seeded_noise(self.config, 0, mel.shape[2])
        phase_u, source_noise = noise.phase_u.to(self._device), noise.source_noise.to(self._device)
        return self.vocoder(mel, phase_u, source_noise, tails.source)

    def _keep(self, faded: Tensor, mel: Tensor, source: Tensor, speech: Tensor) -> Tails:
        streaming = self.streaming
        return Tails(
            mel_overlap=faded[:, :, -streaming.mel_overlap :],
            mel=mel[:, :, -streaming.mel_cache :],
            source=source[:, :, -streaming.source_cache :],
            speech=speech[:, -streaming.source_cache :],
        )

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, device=self._device)


def fade_window(frames: int, like: Tensor) -> Tensor:
    """Hamming window (2 frames,) float64: its first half fades in, its second fades out; they sum to 1.06 to 1.08."""
    return torch.hamming_window(2 * frames, periodic=False, dtype=torch.float64, device=like.device)


def cross_fade(mel: Tensor, tail: Tensor) -> Tensor:
    """Mel (1, mel, F) with its first frames mixed with the held-back tail (1, mel, f), f ≤ F."""
    overlap = tail.shape[2]
    window = fade_window(overlap, mel)
    mixed = mel[:, :, :overlap] * window[:overlap] + tail * window[overlap:]
    return torch.cat([mixed.to(mel.dtype), mel[:, :, overlap:]], dim=2)
