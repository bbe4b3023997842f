"""Qwen2-Audio's encoder for clips of any length, with transformers' modules.

A clip is split into segments of 30 s, which are encoded separately (positions restart); the outputs are concatenated:
16 kHz → 100 log-mel frames/s → stride-2 convolution → average pooling by 2 → 25 frames/s.

``audio_padding`` is the padding of a segment. ``full``: silence up to 30 s, to which the frames attend (the published
weights were trained with it). ``masked``: none, so that the cost depends on the length of the clip: all segments are
packed in one row.
"""
# S segments, F log-mel frames, T encoder frames, D width

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2AudioEncoderConfig
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

from opens2s_core.audio import HOP, SEGMENT_FRAMES, Waveform, log_mel
from opens2s_core.models.packed_attention import pack, use_packed_attention

AudioPadding = Literal["full", "masked"]

MIN_SAMPLES = 3 * HOP
"""An encoder frame needs three log-mel frames: shorter clips are padded with silence to this length."""


def mel_frames(num_samples: int) -> int:
    """Valid log-mel frames (100 Hz) of a clip of ``num_samples`` at 16 kHz: one per hop, rounded up, at least three."""
    return -(-max(num_samples, MIN_SAMPLES) // HOP)


def segment_lengths(frames: int) -> list[int]:
    """Log-mel frames of each 30 s segment of a clip."""
    full, rest = divmod(frames, SEGMENT_FRAMES)
    return [SEGMENT_FRAMES] * full + ([rest] if rest else [])


def encoder_frames(frames: int) -> int:
    """25 Hz output frames of one segment of ``frames`` log-mel frames (0 for fewer than 3)."""
    return max(((frames - 1) // 2 + 1 - 2) // 2 + 1, 0)


def clip_encoder_frames(num_samples: int) -> int:
    """25 Hz output frames of a whole clip of ``num_samples`` at 16 kHz."""
    return sum(encoder_frames(frames) for frames in segment_lengths(mel_frames(num_samples)))


@dataclass(frozen=True, slots=True)
class AudioFeatures:
    """Log-mel features of some clips, cut into segments."""

    segments: Tensor  # float32 (S, mel, F), zero beyond each segment's own frames where padding is "masked"
    frames: list[list[int]]  # per clip, the valid log-mel frames of its segments, in order
    padding: AudioPadding

    def to(self, device: torch.device | str) -> "AudioFeatures":
        return AudioFeatures(self.segments.to(device), self.frames, self.padding)

    def segment_frames(self) -> list[int]:
        """Valid log-mel frames of each segment (S,)."""
        return [frames for clip in self.frames for frames in clip]

    def cells(self) -> tuple[int, int]:
        """Valid encoder frames (25 Hz) of all clips, and the encoder frames that are computed for them."""
        useful = sum(map(encoder_frames, self.segment_frames()))
        full = len(self.segments) * encoder_frames(self.segments.shape[2])
        return useful, full if self.padding == "full" else useful


def extract_features(clips: list[Waveform], mel_bins: int, padding: AudioPadding) -> AudioFeatures:
    """Features of one or more 16 kHz waveforms (n,), float32 (S, mel_bins, F), F at most 3000.

    The log floor is computed per clip, over its padded segments: the features of a clip do not depend on other clips.
    The published extractor pads all clips to the longest one, which affects the window of the last frame.
    """
    segments: list[Tensor] = []
    lengths: list[list[int]] = []
    for clip in clips:
        frames = mel_frames(len(clip))
        parts = segment_lengths(frames)
        padded_frames = len(parts) * SEGMENT_FRAMES if padding == "full" else frames
        mel = log_mel(functional.pad(torch.tensor(clip), (0, padded_frames * HOP - len(clip))), mel_bins)
        segments += mel.split(SEGMENT_FRAMES, dim=1)
        lengths.append(parts)
    width = max(segment.shape[1] for segment in segments)
    stacked = torch.stack([functional.pad(segment, (0, width - segment.shape[1])) for segment in segments])
    return AudioFeatures(stacked, lengths, padding)


class AudioEncoder(Qwen2AudioEncoder):
    """transformers' encoder for segments of any length up to 30 s."""

    def __init__(self, config: Qwen2AudioEncoderConfig) -> None:
        super().__init__(config)

    def encode(self, features: AudioFeatures) -> list[Tensor]:
        """Valid encoder frames (25 Hz) of each clip: list of (T_i, D). One forward, whatever the clips."""
        lengths = features.segment_frames()
        if features.padding == "full":
            rows = self._encode_segments(features.segments)
            frames = torch.cat([row[: encoder_frames(own)] for row, own in zip(rows, lengths, strict=True)])
        else:
            frames = self._encode_packed([row[:, :own] for row, own in zip(features.segments, lengths, strict=True)])
        return list(frames.split([sum(map(encoder_frames, clip)) for clip in features.frames]))

    def _encode_segments(self, segments: Tensor) -> Tensor:
        """(S, mel, F) → (S, T, D)."""
        x = functional.gelu(self.conv1(segments.to(self.conv1.weight.dtype)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)  # (S, T', D)
        # Called as a module: with ZeRO-3 its weight is on this rank only while it runs.
        x = x + self.embed_positions(torch.arange(x.shape[1], device=x.device))
        x = functional.dropout(x, p=self.dropout, training=self.training)
        for layer in self.layers:
            x = layer(x, None)
        x = self.avg_pooler(x.transpose(1, 2)).transpose(1, 2)  # (S, T, D)
        return self.layer_norm(x)

    def _encode_packed(self, segments: list[Tensor]) -> Tensor:
        """Segments (mel, F_i) → (sum of T_i, D), each as if it were alone."""
        use_packed_attention(self)
        device, lengths = segments[0].device, torch.tensor([segment.shape[1] for segment in segments])
        # Zeros separate the segments, as padding does for one alone. Even widths keep the stride of 2 in step.
        widths = lengths + 2 - lengths % 2
        rows = zip(segments, (widths - lengths).tolist(), strict=True)
        mel = torch.cat([functional.pad(segment, (0, gap)) for segment, gap in rows], dim=1)[None]
        column = torch.arange(mel.shape[2]) - torch.repeat_interleave(widths.cumsum(0) - widths, widths)
        valid = column < torch.repeat_interleave(lengths, widths)
        x = functional.gelu(self.conv1(mel.to(self.conv1.weight.dtype)))
        x = x * valid.to(device, x.dtype)  # otherwise the bias of the first convolution would reach the next
        x = functional.gelu(self.conv2(x))[0].T[valid[::2].nonzero()[:, 0].to(device)]  # (sum of T', D)
        counts = (lengths + 1) // 2
        packing = pack(counts.tolist())
        second = (packing.positions % 2 == 1).nonzero()[:, 0].to(device)  # of each pair that is averaged
        packing = packing.to(device)
        x = x + self.embed_positions(packing.positions)
        x = functional.dropout(x, p=self.dropout, training=self.training)[None]
        for layer in self.layers:
            x = layer(x, None, packing=packing)
        return self.layer_norm((x[0, second - 1] + x[0, second]) / 2)
