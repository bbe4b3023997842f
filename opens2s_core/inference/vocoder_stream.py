"""The vocoder on a mel that is still growing: the same samples as on the whole of it, however it is cut.

A reply's window holds the frames that its next samples depend on: on the left those already emitted, on the right those
whose context is not yet known. The source is made once for every frame, with a continuous phase.
F frames, S samples, H harmonics above the fundamental, B replies.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from opens2s_core.inference.noise import RngStream, normal_frames
from opens2s_core.models.vocoder import F0_CONTEXT, Vocoder, decode_context, samples_per_frame


def look_ahead(vocoder: Vocoder) -> int:
    """Mel frames that must be known beyond a frame before its samples can be made."""
    return F0_CONTEXT + decode_context(vocoder.config)


def window_start(vocoder: Vocoder, emitted: int) -> int:
    """The first frame that is needed once ``emitted`` frames have samples."""
    return max(0, emitted - decode_context(vocoder.config))


@dataclass(slots=True)
class VocoderStream:
    """One reply's window; positions are mel frames since the start of the reply."""

    seed: int
    phase_u: Tensor  # (H + 1, 1)
    cycles: Tensor  # () float64, phase of the fundamental where the source ends
    mel: Tensor  # (mel, F), from ``start``
    source: Tensor  # (S,), from ``start``
    start: int = 0
    sourced: int = 0
    emitted: int = 0


def open_vocoder_stream(vocoder: Vocoder, seed: int) -> VocoderStream:
    config, device = vocoder.config, vocoder.conv_pre.weight.device
    phase = np.random.default_rng((seed, RngStream.PHASE)).random((config.nb_harmonics + 1, 1), dtype=np.float32)
    return VocoderStream(
        seed=seed,
        phase_u=torch.from_numpy(phase).to(device),
        cycles=torch.zeros((), dtype=torch.float64, device=device),
        mel=torch.zeros(config.in_channels, 0, device=device),
        source=torch.zeros(0, device=device),
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """What becomes certain in a window; positions are mel frames since its start."""

    known: int
    sourced: int
    source_until: int
    emitted: int
    emit_until: int


def vocode(
    vocoder: Vocoder, streams: Sequence[VocoderStream], mels: Sequence[Tensor], *, final: Sequence[bool]
) -> list[Tensor]:
    """For each reply, the samples (S,) that become certain with its next frames (mel, F); all that is left if final.

    Replies whose windows have the same shapes are computed together.
    """
    alike: dict[_Span, list[int]] = defaultdict(list)
    for i, (stream, mel) in enumerate(zip(streams, mels, strict=True)):
        stream.mel = torch.cat([stream.mel, mel], dim=1)
        alike[_span(vocoder, stream, final[i])].append(i)
    made: dict[int, Tensor] = {}
    for span, members in alike.items():
        waves = _advance(vocoder, [streams[i] for i in members], span)
        made.update(zip(members, waves, strict=True))
    return [made[i] for i in range(len(streams))]


def _span(vocoder: Vocoder, stream: VocoderStream, final: bool) -> _Span:
    known, sourced, emitted = stream.mel.shape[1], stream.sourced - stream.start, stream.emitted - stream.start
    source_until = known if final else max(sourced, known - F0_CONTEXT)
    emit_until = known if final else max(emitted, source_until - decode_context(vocoder.config))
    return _Span(known, sourced, source_until, emitted, emit_until)


def _advance(vocoder: Vocoder, streams: list[VocoderStream], span: _Span) -> Tensor:
    """Samples (B, S) of the frames that are new."""
    hop = samples_per_frame(vocoder.config)
    if span.source_until > span.sourced:
        _extend_source(vocoder, streams, span)
    if span.emit_until == span.emitted:
        return streams[0].mel.new_zeros(len(streams), 0)
    mel = torch.stack([stream.mel[:, : span.source_until] for stream in streams])
    waves = vocoder.decode(mel, torch.stack([stream.source for stream in streams])[:, None])
    for stream in streams:
        start, stream.emitted = stream.start, stream.start + span.emit_until
        stream.start = window_start(vocoder, stream.emitted)
        stream.mel = stream.mel[:, stream.start - start :]
        stream.source = stream.source[(stream.start - start) * hop :]
    return waves[:, span.emitted * hop : span.emit_until * hop]


def _extend_source(vocoder: Vocoder, streams: list[VocoderStream], span: _Span) -> None:
    frames, left = span.source_until - span.sourced, max(0, span.sourced - F0_CONTEXT)
    f0 = vocoder.f0(torch.stack([stream.mel[:, left:] for stream in streams]))
    noise = torch.stack([source_noise(vocoder, stream.seed, stream.sourced, frames) for stream in streams])
    sources, cycles = vocoder.source(
        f0[:, span.sourced - left :][:, :frames],
        torch.stack([stream.phase_u for stream in streams]),
        noise.to(f0.device),
        torch.stack([stream.cycles for stream in streams]),
    )
    for stream, source, phase in zip(streams, sources[:, 0], cycles, strict=True):
        stream.source = torch.cat([stream.source, source])
        stream.cycles = phase
        stream.sourced += frames


def source_noise(vocoder: Vocoder, seed: int, start: int, frames: int) -> Tensor:
    """Normal noise (H + 1, S) of so many frames from ``start``."""
    harmonics = vocoder.config.nb_harmonics + 1
    noise = normal_frames(
        (seed, RngStream.SOURCE), start, start + frames, harmonics * samples_per_frame(vocoder.config)
    )
    return torch.from_numpy(noise).unflatten(1, (harmonics, -1)).transpose(0, 1).flatten(1)
