"""The vocoder on a mel that is still growing: the same samples as on the whole of it, whatever the pieces.

A reply's window holds the frames that its next samples still depend on: on the left those already heard, on the right
those whose own surroundings are not yet known. The source is made once for every frame, with the phase carried on.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from opens2s_core.inference.noise import NoiseKey, normal_frames
from opens2s_core.models.vocoder import F0_CONTEXT, Vocoder, decode_context, samples_per_frame


def look_ahead(vocoder: Vocoder) -> int:
    """Mel frames that must be known beyond a frame before its samples can be made."""
    return F0_CONTEXT + decode_context(vocoder.config)


@dataclass(slots=True)
class VocoderStream:
    """One reply's window; positions are mel frames since the start of the reply."""

    key: NoiseKey
    phase_u: Tensor  # (1, H + 1, 1)
    cycles: Tensor  # (1,) float64, phase of the fundamental where the source ends
    mel: Tensor  # (1, mel, frames), from ``start``
    source: Tensor  # (1, 1, samples), from ``start``
    start: int = 0
    sourced: int = 0
    emitted: int = 0

    @property
    def known(self) -> int:
        return self.start + self.mel.shape[2]


def open_vocoder_stream(vocoder: Vocoder, seed: int) -> VocoderStream:
    config, device = vocoder.config, vocoder.conv_pre.weight.device
    phase = np.random.default_rng((seed, _PHASE)).random((1, config.nb_harmonics + 1, 1), dtype=np.float32)
    return VocoderStream(
        key=(seed, _NOISE),
        phase_u=torch.from_numpy(phase).to(device),
        cycles=torch.zeros(1, dtype=torch.float64, device=device),
        mel=torch.zeros(1, config.in_channels, 0, device=device),
        source=torch.zeros(1, 1, 0, device=device),
    )


def vocode(vocoder: Vocoder, stream: VocoderStream, mel: Tensor, *, final: bool) -> Tensor:
    """The samples (n,) that become certain with the next frames (1, mel, f) of a reply; all that is left if final."""
    context, hop = decode_context(vocoder.config), samples_per_frame(vocoder.config)
    stream.mel = torch.cat([stream.mel, mel], dim=2)
    sourced = stream.known if final else max(stream.sourced, stream.known - F0_CONTEXT)
    _extend_source(vocoder, stream, sourced)
    start, emitted = stream.start, stream.emitted
    until = sourced if final else max(emitted, sourced - context)
    if until == emitted:
        return mel.new_zeros(0)
    wave = vocoder.decode(stream.mel[:, :, : sourced - start], stream.source)[0]
    stream.emitted = until
    stream.start = max(0, until - context)
    stream.mel = stream.mel[:, :, stream.start - start :]
    stream.source = stream.source[:, :, (stream.start - start) * hop :]
    return wave[(emitted - start) * hop : (until - start) * hop]


def _extend_source(vocoder: Vocoder, stream: VocoderStream, until: int) -> None:
    if until == stream.sourced:
        return
    f0 = vocoder.f0(stream.mel)[:, stream.sourced - stream.start : until - stream.start]
    noise = source_noise(vocoder, stream.key, stream.sourced, until).to(f0.device)
    source, stream.cycles = vocoder.source(f0, stream.phase_u, noise, stream.cycles)
    stream.source = torch.cat([stream.source, source], dim=2)
    stream.sourced = until


def source_noise(vocoder: Vocoder, key: NoiseKey, start: int, stop: int) -> Tensor:
    """Normal noise (1, H + 1, samples) of the frames [start, stop)."""
    harmonics = vocoder.config.nb_harmonics + 1
    frames = normal_frames(key, start, stop, harmonics * samples_per_frame(vocoder.config))
    return torch.from_numpy(frames).unflatten(1, (harmonics, -1)).transpose(0, 1).flatten(1)[None]


_NOISE, _PHASE = 1, 2
