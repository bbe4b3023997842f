"""Collation of samples to the tensors of one forward pass.

Samples are packed in one row without padding, and so are their spoken replies, which refer to hidden states by index.
Layouts: README of the published model's golden data, sections (d) and (f).
"""
# T positions, R spoken replies, H hidden states, U units, L = R + H + U speech decoder positions, N labels

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate, groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from opens2s_core.audio import SAMPLE_RATE, Waveform, decode_audio, resample
from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.models.audio_encoder import AudioFeatures, extract_features
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import IGNORED, SPEECH_TOKENS
from opens2s_core.training.emotions import EMOTIONS
from opens2s_core.training.packing import Packing, pack

ReplyLayout = Literal["interleaved", "prefix"]
"""What the speech decoder reads of a reply. ``interleaved``: M hidden states and N units in turn (paper section 2.1).
``prefix``: all tokens of the text as word embeddings, then all units (stage 2a, paper section 3.2)."""


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
    emotion: str = ""  # in the first clip, one of EMOTIONS; empty if unknown
    transcript: str = ""  # of the only clip; empty if unknown
    teacher_ids: list[int] = field(default_factory=list)
    """The same conversation with the user's words in place of the clips; empty if unknown, or without clips."""
    teacher_labels: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class CollateConfig:
    """``teacher`` adds the text that a teacher reads in place of the clips."""

    reply_layout: ReplyLayout = "interleaved"
    teacher: bool = False


class ClipAugmentation(Protocol):
    """Random changes of the input, which keep its shape."""

    def waveform(self, clip: Waveform, rng: np.random.Generator) -> Waveform:
        """A 16 kHz waveform (n,) → (n,)."""
        ...

    def features(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        """The valid log-mel features of a segment, float32 (mel, F) → (mel, F)."""
        ...


@dataclass(frozen=True, slots=True)
class Augment:
    """The augmentation of some samples, of these ``indices`` in the data set: the same in every run."""

    augmentation: ClipAugmentation
    seed: int
    epoch: int
    indices: Sequence[int]

    def rng(self, sample: int, clip: int) -> np.random.Generator:
        """The random numbers of one clip of the ``sample``-th sample."""
        return np.random.default_rng((self.seed, self.epoch, self.indices[sample], clip))


@dataclass(frozen=True, slots=True)
class Replies:
    """Spoken replies as training targets of the speech decoder: the indices of their parts and the reading order."""

    hidden_index: Tensor  # int64 (H,) into the T positions of the LLM
    text_ids: Tensor  # int64 (H,), the ids at these positions
    speech_ids: Tensor  # int64 (U,) in the speech decoder's vocabulary, including the end units
    speakers: Tensor  # float32 (R, speaker_dim), zeros if unknown
    order: Tensor  # int64 (L,) into [R speakers, H hidden states or words, U units]
    labels: Tensor  # int64 (L,)
    packing: Packing  # of the replies
    layout: ReplyLayout = "interleaved"

    def to(self, device: torch.device | str) -> "Replies":
        moved: Replies = _to(self, device)
        return moved


@dataclass(frozen=True, slots=True)
class TeacherText:
    """The conversations with the user's words in place of the clips, as far as these words are known."""

    input_ids: Tensor  # int64 (T2,)
    packing: Packing
    predicts: Tensor  # int64 (N,) positions in ``input_ids`` that predict the labels, in order
    student: Tensor  # int64 (N,) positions in the batch's own row that predict the same labels

    def to(self, device: torch.device | str) -> "TeacherText":
        moved: TeacherText = _to(self, device)
        return moved


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples, packed. It has at least one clip and one reply: dummies keep all modules in the graph of all ranks.

    The first label of each sample is ``IGNORED``: nothing predicts it.
    """

    input_ids: Tensor  # int64 (T,), audio slots repeated to their length
    packing: Packing
    labels: Tensor  # int64 (T,)
    audio: AudioFeatures
    audio_is_dummy: bool
    replies: Replies
    transcripts: list[bytes]
    """UTF-8 of the words of each clip; empty where unknown, or where a sample has several clips."""
    emotions: Tensor  # int64 (clips,) in EMOTIONS, or IGNORED
    teacher: TeacherText | None = None  # None where it is not asked for

    def to(self, device: torch.device | str) -> "Batch":
        moved: Batch = _to(self, device)
        return moved

    def counts(self) -> dict[str, int]:
        """The number of labels of each part of the loss: tokens of text, units, bytes of transcripts (CTC), emotions,
        and positions at which the teacher is known."""
        return {
            "text": int((self.labels != IGNORED).sum()),
            "units": int((self.replies.labels != IGNORED).sum()),
            "ctc": sum(map(len, self.transcripts)),
            "emotion": int((self.emotions != IGNORED).sum()),
            "distillation": 0 if self.teacher is None else len(self.teacher.predicts),
        }

    def cells(self) -> tuple[int, int]:
        """The useful and all of the encoder frames, LLM positions and speech decoder positions that are computed."""
        frames, computed_frames = self.audio.cells()
        spoken = len(self.replies.order)
        is_spoken = bool((self.replies.labels != IGNORED).any())
        useful = len(self.input_ids) + frames * (not self.audio_is_dummy) + spoken * is_spoken
        return useful, len(self.input_ids) + computed_frames + spoken


def load_clip(data: bytes) -> Waveform:
    """Encoded audio → 16 kHz waveform (n,). Raises :class:`~opens2s_core.audio.AudioError`."""
    return resample(*decode_audio(data), SAMPLE_RATE)


def collate(
    samples: Sequence[EncodedSample],
    config: OpenS2SConfig,
    vocabulary: Vocabulary,
    settings: CollateConfig = CollateConfig(),  # it is frozen
    augment: Augment | None = None,
) -> Batch:
    """The tensors of zero or more samples.

    Raises ``ValueError`` for a speaker vector of another size than ``config.speaker_dim``, speakers that do not match
    the replies, an unknown emotion, or a teacher's text with other labels than the sample.
    """
    clips, features = _audio(samples, config, augment)
    lengths = iter([config.audio_positions(len(clip)) for clip in clips])
    rows, types, labels = [], [], []
    for sample in samples:
        own = [next(lengths) for _ in sample.audios]
        rows.append(expand_audio_slots(sample.input_ids, own))
        types.append(expand_audio_slots(sample.input_ids, own, sample.token_types))
        labels.append(_predicted(expand_audio_slots(sample.input_ids, own, sample.labels)))
    rows, types, labels = rows or [[vocabulary.pad_id]], types or [[0]], labels or [[IGNORED]]
    input_ids = _packed(rows)
    return Batch(
        input_ids=input_ids,
        packing=pack([len(row) for row in rows]),
        labels=_packed(labels),
        audio=features,
        audio_is_dummy=not clips,
        replies=_replies(samples, types, input_ids, config, vocabulary, settings.reply_layout),
        transcripts=[text for sample in samples for text in _transcripts(sample)] or [b""],
        emotions=torch.tensor([label for sample in samples for label in _emotions(sample)] or [IGNORED]),
        teacher=_teacher(samples, labels, vocabulary) if settings.teacher else None,
    )


def predicting_positions(labels: Tensor) -> Tensor:
    """Labels (T,) → the positions (N,) before them, in order."""
    return (labels[1:] != IGNORED).nonzero()[:, 0]


def spoken_runs(types: list[list[int]]) -> list[list[int]]:
    """Runs of token type 1 in rows of types, as indices into the positions of all rows, one row after another."""
    starts = accumulate(map(len, types), initial=0)
    runs = []
    for start, kinds in zip(starts, types, strict=False):
        groups = groupby(range(len(kinds)), key=kinds.__getitem__)
        runs += [[start + i for i in group] for kind, group in groups if kind == 1]
    return runs


def collate_replies(
    runs: Sequence[Sequence[int]],
    input_ids: Tensor,
    speech: Sequence[Sequence[int]],
    speakers: Tensor,
    interleave: Interleave,
    layout: ReplyLayout = "interleaved",
) -> Replies:
    """R ≥ 1 spoken replies.

    ``runs``: positions in ``input_ids`` (T,) of each reply, from :func:`spoken_runs`. ``speech``: the target ids of
    each in the speech decoder's vocabulary, normally with the end unit. ``speakers``: (R, speaker_dim).
    """
    hidden_index, speech_ids = _packed(runs), _packed(speech)
    orders, labels = [], []
    hidden_start, unit_start = len(runs), len(runs) + len(hidden_index)  # of the reply in the sources
    for number, (run, ids) in enumerate(zip(runs, speech, strict=True)):
        local = np.arange(1 + len(run) + len(ids))
        if layout == "interleaved":
            local = interleave.order(len(run), len(ids))
        hidden = np.arange(hidden_start, hidden_start + len(run))
        orders.append(np.concatenate([[number], hidden, np.arange(unit_start, unit_start + len(ids))])[local])
        labels.append(np.array([IGNORED] * (1 + len(run)) + [*ids])[local])
        hidden_start, unit_start = hidden_start + len(run), unit_start + len(ids)
    return Replies(
        hidden_index=hidden_index,
        text_ids=input_ids[hidden_index],
        speech_ids=speech_ids,
        speakers=speakers,
        order=torch.from_numpy(np.concatenate(orders)),
        labels=torch.from_numpy(np.concatenate(labels)),
        packing=pack([len(order) for order in orders]),
        layout=layout,
    )


def _audio(
    samples: Sequence[EncodedSample], config: OpenS2SConfig, augment: Augment | None
) -> tuple[list[Waveform], AudioFeatures]:
    """The clips, and their features, or those of a dummy where there is none."""
    clips = [load_clip(audio) for sample in samples for audio in sample.audios]
    numbers = [(i, number) for i, sample in enumerate(samples) for number in range(len(sample.audios))]
    rngs = [augment.rng(*number) for number in numbers] if augment is not None else []
    if augment is not None:
        clips = [augment.augmentation.waveform(clip, rng) for clip, rng in zip(clips, rngs, strict=True)]
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    features = extract_features(clips or [silence], config.audio_encoder.num_mel_bins, config.audio_padding)
    if augment is not None:
        segments = iter(features.segments)
        for frames, rng in zip(features.frames, rngs, strict=False):
            for count in frames:
                mel = next(segments)[:, :count]
                mel.copy_(augment.augmentation.features(mel, rng))
    return clips, features


def _replies(
    samples: Sequence[EncodedSample],
    types: list[list[int]],
    input_ids: Tensor,
    config: OpenS2SConfig,
    vocabulary: Vocabulary,
    layout: ReplyLayout,
) -> Replies:
    """Runs of token type 1, matched to the units in order."""
    offset, end = vocabulary.units.offset, vocabulary.units.end_ids[0]
    speech = [[offset + unit for unit in units] + [end] for sample in samples for units in sample.units]
    runs = spoken_runs(types)
    assert len(runs) == len(speech), "as many spoken runs as replies with units"
    if not runs:
        pad, nobody = torch.tensor([vocabulary.pad_id]), torch.zeros(1, config.speaker_dim)
        dummy = collate_replies([[0]], pad, [[end]], nobody, config.interleave, layout)
        return replace(dummy, labels=torch.full_like(dummy.labels, IGNORED))
    if layout == "prefix":  # without the special tokens around the words
        around = {vocabulary.tokenizer.convert_tokens_to_ids(token) for token in SPEECH_TOKENS}
        runs = [[index for index in run if int(input_ids[index]) not in around] for run in runs]
    speakers = [vector for sample in samples for vector in _speakers(sample, config.speaker_dim)]
    vectors = torch.tensor(speakers, dtype=torch.float32)
    return collate_replies(runs, input_ids, speech, vectors, config.interleave, layout)


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


def _transcripts(sample: EncodedSample) -> list[bytes]:
    """Of each clip."""
    only = len(sample.audios) == 1
    return [sample.transcript.encode() if only else b"" for _ in sample.audios]


def _emotions(sample: EncodedSample) -> list[int]:
    """Of each clip, in EMOTIONS or IGNORED."""
    if sample.emotion and sample.emotion not in EMOTIONS:
        raise ValueError(f"emotion {sample.emotion!r}: expected one of {', '.join(EMOTIONS)}, or none if unknown")
    first = EMOTIONS.index(sample.emotion) if sample.emotion else IGNORED
    return [first, *[IGNORED] * (len(sample.audios) - 1)][: len(sample.audios)]


def _teacher(samples: Sequence[EncodedSample], labels: list[list[int]], vocabulary: Vocabulary) -> TeacherText:
    """``labels`` are those of each row of the batch. A sample without clips is its own teacher."""
    rows, teacher_labels, student_labels = [], [], []
    for sample, own in zip(samples, labels, strict=False):
        ids, learned = sample.teacher_ids, sample.teacher_labels
        if not sample.audios:
            ids, learned = sample.input_ids, sample.labels
        student_labels.append(own if ids else [IGNORED] * len(own))
        if ids:
            rows.append(ids)
            teacher_labels.append(_predicted(learned))
            taught, expected = _learned(teacher_labels[-1]), _learned(own)
            if taught != expected:
                raise ValueError(
                    f"teacher's text with {len(taught)} labels: expected the {len(expected)} labels of the sample"
                )
    rows, teacher_labels = rows or [[vocabulary.pad_id]], teacher_labels or [[IGNORED]]
    return TeacherText(
        input_ids=_packed(rows),
        packing=pack([len(row) for row in rows]),
        predicts=predicting_positions(_packed(teacher_labels)),
        student=predicting_positions(_packed(student_labels or labels)),
    )


def _predicted(labels: list[int]) -> list[int]:
    """The labels of a row without the first: in a packed row it would be predicted by another sample."""
    return [IGNORED, *labels[1:]]


def _learned(labels: list[int]) -> list[int]:
    return [label for label in labels if label != IGNORED]


def _packed(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=torch.int64)


def _to(value: Any, device: torch.device | str) -> Any:
    """The dataclass ``value`` with what has a device on ``device``."""
    parts = {own.name: getattr(value, own.name) for own in fields(value)}
    return replace(value, **{name: part.to(device) for name, part in parts.items() if hasattr(part, "to")})
