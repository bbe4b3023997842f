"""Qwen2-Audio's encoder for clips of any length, with transformers' modules.

A clip is split into segments of 30 s, which are encoded separately (positions restart); the outputs are concatenated:
16 kHz → 100 log-mel frames/s → stride-2 convolution → average pooling by 2 → 25 frames/s.

``audio_padding`` is the padding of a segment. ``full``: silence up to 30 s, to which the frames attend (the published
weights were trained with it). ``masked``: none, so that the cost depends on the length of the clip.
"""
# S segments, F log-mel frames, T encoder frames, D width

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2AudioEncoderConfig
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

from opens2s_core.audio import HOP, SEGMENT_FRAMES, Waveform, log_mel

AudioPadding = Literal["full", "masked"]

_BUCKET_RATIO = 0.9
_BUCKET_FRAMES = 50
"""Segments share a forward of the encoder if the shortest has this ratio of the longest's frames, or if it lacks at
most this many (half a second): more padding costs more than another forward."""

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

    def buckets(self) -> list[tuple[list[int], int]]:
        """The segments of each forward of the encoder, by index, and the log-mel frames that each of them is padded to.

        One forward of all where padding is "full", else one for each group of segments of similar lengths.
        """
        lengths = self.segment_frames()
        if self.padding == "full":
            return [(list(range(len(lengths))), self.segments.shape[2])]
        buckets: list[tuple[list[int], int]] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            own, longest = buckets[-1] if buckets else ([], 0)
            if own and lengths[index] >= min(longest * _BUCKET_RATIO, longest - _BUCKET_FRAMES):
                own.append(index)
            else:
                buckets.append(([index], lengths[index]))
        return buckets

    def cells(self) -> tuple[int, int]:
        """Valid encoder frames (25 Hz) of all clips, and the encoder frames that are computed for them."""
        computed = sum(len(own) * encoder_frames(width) for own, width in self.buckets())
        return sum(map(encoder_frames, self.segment_frames())), computed


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
        """Valid encoder frames (25 Hz) of each clip: list of (T_i, D). Each bucket of segments is one forward."""
        lengths = features.segment_frames()
        valid: list[Tensor] = [features.segments] * len(lengths)
        for own, width in features.buckets():
            segments, valid_mel = features.segments[own, :, :width], None
            if features.padding == "masked":
                frames = torch.tensor([lengths[index] for index in own])
                valid_mel = (torch.arange(width) < frames[:, None]).to(segments.device)
            for index, row in zip(own, self._encode_segments(segments, valid_mel), strict=True):
                valid[index] = row[: encoder_frames(lengths[index])]
        clips: list[Tensor] = []
        for clip in features.frames:
            clips.append(torch.cat(valid[: len(clip)]))
            valid = valid[len(clip) :]
        return clips

    def _encode_segments(self, segments: Tensor, valid_mel: Tensor | None) -> Tensor:
        """(S, mel, F) → (S, T, D); frames outside ``valid_mel`` (S, F) are masked."""
        x = functional.gelu(self.conv1(segments.to(self.conv1.weight.dtype)))
        key_mask = None
        if valid_mel is not None:
            x = x * valid_mel[:, None].to(x.dtype)  # otherwise the bias of the first convolution would reach the next
            key_mask = valid_mel[:, ::2][:, None, None, :]
        x = functional.gelu(self.conv2(x)).transpose(1, 2)  # (S, T', D)
        x = x + self.embed_positions.weight[: x.shape[1]]
        x = functional.dropout(x, p=self.dropout, training=self.training)
        for layer in self.layers:
            x = layer(x, key_mask)
        x = self.avg_pooler(x.transpose(1, 2)).transpose(1, 2)  # (S, T, D)
        return self.layer_norm(x)
