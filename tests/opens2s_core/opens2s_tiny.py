"""The golden data of the whole OpenS2S model: the model, its synthetic clips, and how its batches differ from ours.

In the published model the last adapter frames of a clip depend on its padding in the batch, silence or zeros. Ours
are masked, so a clip is the same alone and in any batch.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from opens2s_core.audio import HOP, SEGMENT_FRAMES, Waveform, log_mel
from opens2s_core.checkpoint.opens2s import load_opens2s, read_config
from opens2s_core.models.adapter import STRIDE, adapter_frames
from opens2s_core.models.audio_encoder import AudioFeatures, encoder_frames, mel_frames, segment_lengths
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.thinker import Thinker
from opens2s_core.training.batch import load_clip
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("opens2s_tiny")
CONFIG = read_config(GOLDEN.path)
KERNELS = CONFIG.adapter_kernel_sizes
FEATURES = GOLDEN.tolerance("features", 1e-5)
EMBEDDINGS = GOLDEN.tolerance("embeddings", 1e-4)
LOSSES = GOLDEN.tolerance("losses", 1e-4)
GRADIENTS = GOLDEN.tolerance("gradient", 1e-3)
"""Tolerances; of losses and norms of gradients they are relative."""


@cache
def model() -> OpenS2S:
    return load_opens2s(GOLDEN.path)


def recordings(count: int) -> list[Waveform]:
    """w0, w1, … at 16 kHz."""
    return [load_clip(next(GOLDEN.path.glob(f"wavs/w{i}.*")).read_bytes()) for i in range(count)]


@cache
def _synthetic() -> Tensor:
    data = GOLDEN.tensors("speech_inputs")
    return (data["U"].double() @ data["V"].double()).float()  # (rows, mel, F)


def synthetic_features(frames: list[int]) -> AudioFeatures:
    """Synthetic clips with these numbers of valid log-mel frames; as in real ones, features continue after the end."""
    parts = [segment_lengths(count) for count in frames]
    rows = [row.split(SEGMENT_FRAMES, dim=1)[: len(own)] for row, own in zip(_synthetic(), parts, strict=False)]
    return AudioFeatures(torch.stack([segment for row in rows for segment in row]), parts, "full")


def features_of_a_batch(clips: list[Waveform]) -> AudioFeatures:
    """Features as published: every clip is padded with silence to the whole segments of the longest one.

    Ours pads a clip to its own segments. The window of the last frame tells: there, silence or a reflection follows.
    """
    parts = [segment_lengths(mel_frames(len(clip))) for clip in clips]
    samples = max(map(len, parts)) * SEGMENT_FRAMES * HOP
    padded = [functional.pad(torch.from_numpy(clip), (0, samples - len(clip))) for clip in clips]
    rows = [log_mel(clip, CONFIG.audio_encoder.num_mel_bins).split(SEGMENT_FRAMES, dim=1) for clip in padded]
    return AudioFeatures(
        torch.stack([x for row, own in zip(rows, parts, strict=True) for x in row[: len(own)]]), parts, "full"
    )


def encoder_lengths(features: AudioFeatures) -> list[int]:
    return [sum(map(encoder_frames, clip)) for clip in features.frames]


def audio_lengths(features: AudioFeatures) -> list[int]:
    """LLM positions of each clip."""
    return [adapter_frames(count, len(KERNELS)) for count in encoder_lengths(features)]


def encode_with_silence(thinker: Thinker, features: AudioFeatures) -> Tensor:
    """(clips, T, D): encoder frames of whole segments end to end, then zeros, all cut to the longest clip's T."""
    whole = AudioFeatures(features.segments, [[SEGMENT_FRAMES] * len(clip) for clip in features.frames], "full")
    width = max(encoder_lengths(features))
    rows = thinker.audio_encoder_model.encode(whole)
    return torch.stack([functional.pad(row, (0, 0, 0, width - len(row))) for row in rows])


def adapt_with_leaks(thinker: Thinker, features: AudioFeatures) -> Tensor:
    """(clips, T', D_llm): the adapter over a batch as published, to which every row is as long as the longest."""
    return torch.stack(thinker.audio_adapter.adapt(list(encode_with_silence(thinker, features))))


def audio_with_leaks(thinker: Thinker, features: AudioFeatures) -> list[Tensor]:
    """Embeddings of each clip, (T_i', D_llm), as in a batch of the published model."""
    rows = adapt_with_leaks(thinker, features)
    return [row[:length] for row, length in zip(rows, audio_lengths(features), strict=True)]


def unaffected_frames(length: int) -> int:
    """Number of leading adapter frames of a clip of ``length`` encoder frames that do not depend on padding."""
    for kernel in KERNELS:
        reach = kernel - 1 - kernel // 2  # frames of right context of a convolution
        length = max((length - 1 - reach) // STRIDE + 1, 0)
    return length
