"""From samples to the tensors of one forward pass."""
# B rows, T positions, R spoken replies, H hidden states, U units, L = 1 + H + U speech decoder positions

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import SAMPLE_RATE, Waveform, decode_audio, resample
from opens2s_core.checkpoint import Vocabulary
from opens2s_core.models.audio_encoder import AudioFeatures, extract_features
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT, IGNORED


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """One prepared sample: ids, types and labels have one entry a position (one a slot for a clip)."""

    input_ids: list[int]
    token_types: list[int]
    labels: list[int]
    audios: list[bytes]  # encoded sound of each slot, in reading order
    units: list[list[int]]  # codebook ids of each spoken reply, in reading order


@dataclass(frozen=True, slots=True)
class Batch:
    """Every batch has at least one clip and one reply: silent stand-ins keep all modules in the graph of all ranks."""

    input_ids: Tensor  # int64 (B, T), audio slots repeated to their length
    attention_mask: Tensor  # bool (B, T)
    labels: Tensor  # int64 (B, T)
    audio: AudioFeatures
    audio_is_stand_in: bool
    hidden_index: Tensor  # int64 (R, H) into the flattened (B · T) hidden states
    speech_ids: Tensor  # int64 (R, U) in the speech decoder's vocabulary, the end unit included
    order: Tensor  # int64 (R, L) into [speaker, hiddens, units] of each reply
    speech_mask: Tensor  # bool (R, L)
    speech_labels: Tensor  # int64 (R, L)


def load_clip(data: bytes) -> Waveform:
    """Encoded sound → 16 kHz waveform (n,)."""
    return resample(*decode_audio(data), SAMPLE_RATE)


def collate(samples: Sequence[EncodedSample], config: OpenS2SConfig, vocabulary: Vocabulary) -> Batch:
    """Right-padded tensors of some samples (possibly none)."""
    clips = [load_clip(audio) for sample in samples for audio in sample.audios]
    lengths = iter([config.audio_positions(len(clip)) for clip in clips])
    rows, types, labels = [], [], []
    for sample in samples:
        own = [next(lengths) for _ in sample.audios]
        rows.append(expand_audio_slots(sample.input_ids, own))
        types.append(_stretch(sample.token_types, sample.input_ids, own))
        labels.append(_stretch(sample.labels, sample.input_ids, own))
    rows, types, labels = rows or [[vocabulary.pad_id]], types or [[0]], labels or [[IGNORED]]
    input_ids = _pad(rows, vocabulary.pad_id)
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    return Batch(
        input_ids=input_ids,
        attention_mask=_pad([[1] * len(row) for row in rows], 0).bool(),
        labels=_pad(labels, IGNORED),
        audio=extract_features(clips or [silence], config.audio_encoder.num_mel_bins, config.audio_padding),
        audio_is_stand_in=not clips,
        **_speech(samples, types, input_ids.shape[1], config, vocabulary),
    )


def _speech(
    samples: Sequence[EncodedSample], types: list[list[int]], width: int, config: OpenS2SConfig, vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """Index tensors of the spoken replies: runs of token type 1, matched to the units in reading order."""
    runs = [[row * width + i for i in run] for row, kinds in enumerate(types) for run in _runs_of_ones(kinds)]
    offset, end = vocabulary.units.offset, vocabulary.units.end_ids[0]
    speech = [[offset + unit for unit in units] + [end] for sample in samples for units in sample.units]
    assert len(runs) == len(speech), "as many spoken stretches as replies with units"
    stand_in = not runs
    runs, speech = runs or [[0]], speech or [[end]]
    hidden_index, speech_ids = _pad(runs, 0), _pad(speech, end)
    orders, labels = [], []
    for run, ids in zip(runs, speech, strict=True):
        order = config.interleave.order(len(run), len(ids))
        is_unit = order > len(run)
        learned = np.where(is_unit, np.array([0, *ids])[np.maximum(order - len(run), 0)], IGNORED)
        labels.append([IGNORED] * len(order) if stand_in else learned.tolist())
        # Hidden states of all replies are padded to one width, so units start behind the widest.
        orders.append(np.where(is_unit, order - len(run) + hidden_index.shape[1], order).tolist())
    return {
        "hidden_index": hidden_index,
        "speech_ids": speech_ids,
        "order": _pad(orders, 0),
        "speech_mask": _pad([[1] * len(order) for order in orders], 0).bool(),
        "speech_labels": _pad(labels, IGNORED),
    }


def _stretch(values: list[int], input_ids: list[int], lengths: list[int]) -> list[int]:
    remaining = iter(lengths)
    counts: NDArray[np.int64] = np.array([next(remaining) if token == AUDIO_SLOT else 1 for token in input_ids])
    return np.repeat(values, counts).tolist()


def _runs_of_ones(kinds: list[int]) -> list[list[int]]:
    return [list(group) for kind, group in groupby(range(len(kinds)), key=kinds.__getitem__) if kind == 1]


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
