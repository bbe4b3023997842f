"""Collation of samples to the tensors of one forward pass.

Replies refer to hidden states by index, without padded copies, so batches are small. Layouts: README of the published
model's golden data, sections (d) and (f).
"""
# B rows, T positions, R spoken replies, H hidden states, U units, L = 1 + H + U speech decoder positions

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from opens2s_core.audio import SAMPLE_RATE, Waveform, decode_audio, resample
from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.models.audio_encoder import AudioFeatures, extract_features
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import IGNORED


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """One prepared sample: ids, types and labels have one entry per position and one per audio slot."""

    input_ids: list[int]
    token_types: list[int]
    labels: list[int]
    audios: list[bytes]  # encoded audio of each slot, in order
    units: list[list[int]]  # codebook ids of each spoken reply, in order, without the end unit
    speakers: list[list[float]] = field(default_factory=list)
    """Speaker vector of each spoken reply, empty if unknown; no entries if none is known."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Replies:
    """Spoken replies as training targets of the speech decoder: the indices of their parts and the reading order."""

    hidden_index: Tensor  # int64 (R, H) into the flattened (B · T) hidden states
    speech_ids: Tensor  # int64 (R, U) in the speech decoder's vocabulary, including the end unit
    speakers: Tensor  # float32 (R, speaker_dim), zeros if unknown
    order: Tensor  # int64 (R, L) into [speaker, hidden states, units] of each reply
    mask: Tensor  # bool (R, L)
    labels: Tensor  # int64 (R, L)

    def to(self, device: torch.device | str) -> "Replies":
        return Replies(*(getattr(self, name).to(device) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. It has at least one clip and one reply: dummies keep all modules in the graph of all ranks."""

    input_ids: Tensor  # int64 (B, T), audio slots repeated to their length
    attention_mask: Tensor  # bool (B, T)
    labels: Tensor  # int64 (B, T)
    audio: AudioFeatures
    audio_is_dummy: bool
    replies: Replies


def load_clip(data: bytes) -> Waveform:
    """Encoded audio → 16 kHz waveform (n,). Raises :class:`~opens2s_core.audio.AudioError`."""
    return resample(*decode_audio(data), SAMPLE_RATE)


def collate(samples: Sequence[EncodedSample], config: OpenS2SConfig, vocabulary: Vocabulary) -> Batch:
    """Right-padded tensors of zero or more samples.

    Raises ``ValueError`` for a speaker vector of another size than ``config.speaker_dim``, or speakers that do not
    match the replies.
    """
    clips = [load_clip(audio) for sample in samples for audio in sample.audios]
    lengths = iter([config.audio_positions(len(clip)) for clip in clips])
    rows, types, labels = [], [], []
    for sample in samples:
        own = [next(lengths) for _ in sample.audios]
        rows.append(expand_audio_slots(sample.input_ids, own))
        types.append(expand_audio_slots(sample.input_ids, own, sample.token_types))
        labels.append(expand_audio_slots(sample.input_ids, own, sample.labels))
    rows, types, labels = rows or [[vocabulary.pad_id]], types or [[0]], labels or [[IGNORED]]
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    return Batch(
        input_ids=_pad(rows, vocabulary.pad_id),
        attention_mask=_pad([[1] * len(row) for row in rows], 0).bool(),
        labels=_pad(labels, IGNORED),
        audio=extract_features(clips or [silence], config.audio_encoder.num_mel_bins, config.audio_padding),
        audio_is_dummy=not clips,
        replies=_replies(samples, types, config, vocabulary),
    )


def spoken_runs(types: list[list[int]]) -> list[list[int]]:
    """Runs of token type 1 in rows of types, as indices into the flattened (B · T) positions of the padded rows."""
    width = max(map(len, types))
    runs = []
    for row, kinds in enumerate(types):
        groups = groupby(range(len(kinds)), key=kinds.__getitem__)
        runs += [[row * width + i for i in group] for kind, group in groups if kind == 1]
    return runs


def collate_replies(
    runs: Sequence[Sequence[int]], speech: Sequence[Sequence[int]], speakers: Tensor, interleave: Interleave
) -> Replies:
    """Index tensors of R ≥ 1 spoken replies.

    ``runs``: positions of the hidden states of each reply, from :func:`spoken_runs`. ``speech``: the target ids of each
    in the speech decoder's vocabulary, normally with the end unit. ``speakers``: (R, speaker_dim).
    """
    hidden_index, speech_ids = _pad(runs, 0), _pad(speech, 0)
    orders, labels = [], []
    for run, ids in zip(runs, speech, strict=True):
        order = interleave.order(len(run), len(ids))
        is_unit = order > len(run)
        labels.append(np.where(is_unit, np.array([0, *ids])[np.maximum(order - len(run), 0)], IGNORED).tolist())
        # Hidden states of all replies are padded to one width; units start after them.
        orders.append(np.where(is_unit, order - len(run) + hidden_index.shape[1], order).tolist())
    return Replies(
        hidden_index=hidden_index,
        speech_ids=speech_ids,
        speakers=speakers,
        order=_pad(orders, 0),
        mask=_pad([[1] * len(order) for order in orders], 0).bool(),
        labels=_pad(labels, IGNORED),
    )


def _replies(
    samples: Sequence[EncodedSample], types: list[list[int]], config: OpenS2SConfig, vocabulary: Vocabulary
) -> Replies:
    """Runs of token type 1, matched to the units in order."""
    offset, end = vocabulary.units.offset, vocabulary.units.end_ids[0]
    speech = [[offset + unit for unit in units] + [end] for sample in samples for units in sample.units]
    runs = spoken_runs(types)
    assert len(runs) == len(speech), "as many spoken runs as replies with units"
    if not runs:
        dummy = collate_replies([[0]], [[end]], torch.zeros(1, config.speaker_dim), config.interleave)
        return replace(dummy, labels=torch.full_like(dummy.labels, IGNORED))
    speakers = [vector for sample in samples for vector in _speakers(sample, config.speaker_dim)]
    return collate_replies(runs, speech, torch.tensor(speakers, dtype=torch.float32), config.interleave)


def _speakers(sample: EncodedSample, size: int) -> list[list[float]]:
    """The speaker vector of every spoken reply."""
    if not sample.speakers:
        return [[0.0] * size] * len(sample.units)
    if len(sample.speakers) != len(sample.units):
        raise ValueError(f"{len(sample.speakers)} speakers for {len(sample.units)} spoken replies: expected one each")
    for vector in sample.speakers:
        if len(vector) not in (0, size):
            raise ValueError(f"speaker vector of {len(vector)} numbers: expected {size}, or none if unknown")
    return [vector or [0.0] * size for vector in sample.speakers]


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
