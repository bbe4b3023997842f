"""The row that passes through the steps of data preparation."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from data_pipeline.records import (
    AudioReference,
    Content,
    Conversation,
    ConversationMessage,
    Entry,
    Reject,
    RejectedRow,
    Utterance,
)
from opens2s_core.audio import Waveform, decode_audio


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRow:
    """An entry of a corpus with the outputs of the steps so far. Later steps leave a rejected row unchanged.

    ``position`` counts the planned rows of the shard. ``clips`` are FLAC, mono, 16 kHz, one for each of
    :func:`audio_references`. The output of a model is ``None`` until its step has run.
    """

    shard: str
    position: int
    entry: Entry
    clips: tuple[bytes, ...] = ()
    clip_samples: tuple[int, ...] = ()
    continuation: str | None = None  # of an utterance, by a language model
    units: tuple[tuple[int, ...], ...] | None = None  # one for each of ``speech_clips``
    speakers: tuple[tuple[float, ...], ...] | None = None  # as ``units``; empty where unknown
    reject: Reject | None = None

    def rejected(self, step: str, error: RejectedRow) -> "PreparedRow":
        return replace(self, reject=Reject(id=self.entry.id, step=step, reason=str(error)))


class RowStep(Protocol):
    """A step on single rows, in tasks. Raises :class:`RejectedRow`."""

    def __call__(self, row: PreparedRow) -> PreparedRow: ...


class ModelStep(Protocol):
    """A step that runs a model on batches, in an actor that loads it once.

    It returns the fields of :class:`PreparedRow` that it made for each row, or the reason to reject the row.
    """

    def __call__(self, rows: Sequence[PreparedRow]) -> Sequence[Mapping[str, Any] | RejectedRow]: ...


def run_step(name: str, step: RowStep, row: PreparedRow) -> PreparedRow:
    """``step`` on a row that is not rejected; the row with its reason where the step rejects it."""
    if row.reject is not None:
        return row
    try:
        return step(row)
    except RejectedRow as error:
        return row.rejected(name, error)


def audio_references(entry: Entry) -> list[AudioReference]:
    """Every clip of an entry, in reading order."""
    if isinstance(entry, Utterance):
        return [entry.audio]
    return [content.audio for _, content in _contents(entry) if content.audio is not None]


def spoken_replies(entry: Entry) -> list[Content]:
    """The contents of the assistant's messages that have audio or units, in reading order."""
    if isinstance(entry, Utterance):
        return []
    return [
        content
        for message, content in _contents(entry)
        if message.role == "assistant" and (content.audio is not None or content.units)
    ]


def speech_clips(entry: Entry) -> list[int | None]:
    """Positions in :func:`audio_references` of the speech that is trained on: the clip of an utterance, or that of each
    of :func:`spoken_replies`; None for a reply with units and no clip."""
    if isinstance(entry, Utterance):
        return [0]
    count = itertools.count()
    numbered = [
        (message, content, None if content.audio is None else next(count)) for message, content in _contents(entry)
    ]
    return [
        number
        for message, content, number in numbered
        if message.role == "assistant" and (content.audio is not None or content.units)
    ]


def decode_clip(row: PreparedRow, number: int) -> Waveform:
    """A prepared clip as 16 kHz samples (n,)."""
    return decode_audio(row.clips[number])[0]


def labelled_speaker(entry: Entry) -> Utterance | ConversationMessage:
    """The speaker whose labels count for an entry: that of an utterance, or the first user of a conversation."""
    if isinstance(entry, Utterance):
        return entry
    users = [message for message in entry.messages if message.role == "user"]
    return (users or list(entry.messages))[0]


def _contents(entry: Conversation) -> Iterator[tuple[ConversationMessage, Content]]:
    return ((message, content) for message in entry.messages for content in message.content)
