"""Batches of the golden data in our form: those of synthetic clips and any units, and those of prepared samples."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from opens2s_core.audio import HOP, SAMPLE_RATE
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, SPEAKER_DIM
from opens2s_core.training.batch import Batch, EncodedSample, Replies, collate_replies, spoken_runs
from opens2s_core.training.packing import pack
from tests.opens2s_core.opens2s_tiny import CONFIG, GOLDEN, audio_lengths, synthetic_features

PREFIXES = {"full": "", "weighted": "", "nounits": "", "text_only": "text_", "t2s": "t2s_"}
"""Runs of the published forward pass, and how the names of their rows begin."""
VOCABULARY = read_vocabulary(GOLDEN.path)


def valid_rows(values: Tensor, mask: Tensor) -> list[list[int]]:
    return [row[keep].tolist() for row, keep in zip(values, mask.bool(), strict=True)]


def stretch_rows(values: list[list[int]], rows: list[list[int]], lengths: list[int]) -> list[list[int]]:
    """Rows of values with the value at each audio slot repeated; ``lengths`` are in reading order over the rows."""
    remaining = iter(lengths)
    own = [[next(remaining) for _ in range(row.count(AUDIO_SLOT))] for row in rows]
    return [expand_audio_slots(row, counts, value) for value, row, counts in zip(values, rows, own, strict=True)]


def packed(rows: list[list[int]]) -> Tensor:
    return torch.tensor([value for row in rows for value in row])


def golden_batch(case: str) -> Batch:
    """The batch of one of ``PREFIXES``."""
    data, prefix = GOLDEN.tensors("prepare_llm") | GOLDEN.tensors("forward"), PREFIXES[case]
    mask = data[f"{prefix}attention_mask"]
    ids, labels, types = (valid_rows(data[prefix + name], mask) for name in ("input_ids", "labels", "token_types"))
    frames = [] if prefix else data["speech_mask_sum"].tolist()
    features = synthetic_features(frames or [SAMPLE_RATE // HOP])
    lengths = audio_lengths(features)
    rows, types = stretch_rows(ids, ids, lengths), stretch_rows(types, ids, lengths)
    input_ids = packed(rows)
    clips = len(frames) or 1
    return Batch(
        input_ids=input_ids,
        packing=pack([len(row) for row in rows]),
        labels=packed(stretch_rows(labels, ids, lengths)),
        audio=features,
        audio_is_dummy=not frames,
        replies=_no_replies() if case in ("nounits", "text_only") else _replies(types, input_ids, data),
        transcripts=[b""] * clips,
        emotions=torch.full((clips,), IGNORED),
    )


def _replies(types: list[list[int]], input_ids: Tensor, data: dict[str, Tensor]) -> Replies:
    runs = spoken_runs(types)
    units = valid_rows(data["speech_units"], data["speech_units_mask"])[: len(runs)]
    return collate_replies(runs, input_ids, units, data["spk_embs"][: len(runs), 0], CONFIG.interleave)


def _no_replies() -> Replies:
    nothing = torch.tensor([VOCABULARY.pad_id])
    replies = collate_replies([[0]], nothing, [[0]], torch.zeros(1, SPEAKER_DIM), CONFIG.interleave)
    return replace(replies, labels=torch.full_like(replies.labels, IGNORED))


def collated_samples(case: str) -> list[EncodedSample]:
    """The prepared samples of one batch of ``collator.json``."""
    prepared = {line["name"]: line for line in GOLDEN.lines("tokenised") if not line.get("enable_thinking")}
    return [_encoded(prepared[name]) for name in GOLDEN.values("collator")[case]["samples"]]


def _encoded(line: dict[str, Any]) -> EncodedSample:
    """Ours has codebook ids without the end unit, audio and vectors instead of paths, and no placeholders."""
    spoken = 1 in line["token_types"]
    offset, ends = VOCABULARY.units.offset, VOCABULARY.units.end_ids
    assert not spoken or all(units[-1] == ends[0] for units in line["speech_units"])
    return EncodedSample(
        input_ids=line["input_ids"],
        token_types=line["token_types"],
        labels=line["labels"],
        audios=[(GOLDEN.path / path).read_bytes() for path in line["audio_paths"] if path != "hook"],
        units=[[unit - offset for unit in units[:-1]] for units in line["speech_units"]] if spoken else [],
        speakers=[_vector(path) for path in line["spk_emb_paths"]] if spoken else [],
    )


def _vector(path: str) -> list[float]:
    return np.load(GOLDEN.path / path).ravel().tolist() if path else []
