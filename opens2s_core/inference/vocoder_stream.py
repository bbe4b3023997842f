"""The vocoder as a stream: the samples do not depend on how the mel is split.

The window of a reply holds the frames that its next samples depend on: emitted frames on the left, frames whose context
is not yet known on the right. The source is computed once for every frame, with a continuous phase.
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
    """Mel frames that must be known after a frame before its samples can be computed."""
    return F0_CONTEXT + decode_context(vocoder.config)


def window_start(vocoder: Vocoder, emitted: int) -> int:
    """The first frame that is needed once ``emitted`` frames are emitted."""
    return max(0, emitted - decode_context(vocoder.config))


@dataclass(slots=True)
class VocoderStream:
    """The window of one reply; positions are mel frames since the start of the reply."""

    seed: int
    phase_u: Tensor  # (H + 1, 1)
    phase: Tensor  # () float64, of the fundamental at the end of the source
    mel: Tensor  # (mel, F), from ``start``
    source: Tensor  # (S,), from ``start``
    start: int = 0
    source_frames: int = 0
    emitted: int = 0


def open_vocoder_stream(vocoder: Vocoder, seed: int) -> VocoderStream:
    config, device = vocoder.config, vocoder.conv_pre.weight.device
    phase = np.random.default_rng((seed, RngStream.PHASE)).random((config.nb_harmonics + 1, 1), dtype=np.float32)
    return VocoderStream(
        seed=seed,
        phase_u=torch.from_numpy(phase).to(device),
        phase=torch.zeros((), dtype=torch.float64, device=device),
        mel=torch.zeros(config.in_channels, 0, device=device),
        source=torch.zeros(0, device=device),
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """The frames of a window to compute next; positions are mel frames since its start."""

    frames: int
    source_start: int
    source_end: int
    emit_start: int
    emit_end: int


def vocode(
    vocoder: Vocoder, streams: Sequence[VocoderStream], mels: Sequence[Tensor], *, final: Sequence[bool]
) -> list[Tensor]:
    """Add mel frames (mel, F) to each reply → its samples (S,) with full context; all remaining ones if final.

    Replies whose windows have the same shapes are batched.
    """
    groups: dict[_Span, list[int]] = defaultdict(list)
    for i, (stream, mel) in enumerate(zip(streams, mels, strict=True)):
        stream.mel = torch.cat([stream.mel, mel], dim=1)
        groups[_span(vocoder, stream, final[i])].append(i)
    samples: dict[int, Tensor] = {}
    for span, members in groups.items():
        waves = _advance(vocoder, [streams[i] for i in members], span)
        samples.update(zip(members, waves, strict=True))
    return [samples[i] for i in range(len(streams))]


def _span(vocoder: Vocoder, stream: VocoderStream, final: bool) -> _Span:
    frames = stream.mel.shape[1]
    source_start, emit_start = stream.source_frames - stream.start, stream.emitted - stream.start
    source_end = frames if final else max(source_start, frames - F0_CONTEXT)
    emit_end = frames if final else max(emit_start, source_end - decode_context(vocoder.config))
    return _Span(frames, source_start, source_end, emit_start, emit_end)


def _advance(vocoder: Vocoder, streams: list[VocoderStream], span: _Span) -> Tensor:
    """Samples (B, S) of the new frames."""
    hop = samples_per_frame(vocoder.config)
    if span.source_end > span.source_start:
        _extend_source(vocoder, streams, span)
    if span.emit_end == span.emit_start:
        return streams[0].mel.new_zeros(len(streams), 0)
    mel = torch.stack([stream.mel[:, : span.source_end] for stream in streams])
    waves = vocoder.decode(mel, torch.stack([stream.source for stream in streams])[:, None])
    for stream in streams:
        start, stream.emitted = stream.start, stream.start + span.emit_end
        stream.start = window_start(vocoder, stream.emitted)
        stream.mel = stream.mel[:, stream.start - start :]
        stream.source = stream.source[(stream.start - start) * hop :]
    return waves[:, span.emit_start * hop : span.emit_end * hop]


def _extend_source(vocoder: Vocoder, streams: list[VocoderStream], span: _Span) -> None:
    frames, left = span.source_end - span.source_start, max(0, span.source_start - F0_CONTEXT)
    f0 = vocoder.f0(torch.stack([stream.mel[:, left:] for stream in streams]))
    noise = torch.stack([source_noise(vocoder, stream.seed, stream.source_frames, frames) for stream in streams])
    sources, phases = vocoder.source(
        f0[:, span.source_start - left :][:, :frames],
        torch.stack([stream.phase_u for stream in streams]),
        noise.to(f0.device),
        torch.stack([stream.phase for stream in streams]),
    )
    for stream, source, phase in zip(streams, sources[:, 0], phases, strict=True):
        stream.source = torch.cat([stream.source, source])
        stream.phase = phase
        stream.source_frames += frames


def source_noise(vocoder: Vocoder, seed: int, start: int, frames: int) -> Tensor:
    """Normal noise (H + 1, S) of ``frames`` frames from ``start``."""
    harmonics = vocoder.config.nb_harmonics + 1
    noise = normal_frames(
        (seed, RngStream.SOURCE), start, start + frames, harmonics * samples_per_frame(vocoder.config)
    )
    return torch.from_numpy(noise).unflatten(1, (harmonics, -1)).transpose(0, 1).flatten(1)
