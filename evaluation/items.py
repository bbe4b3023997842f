"""What an evaluation asks a model, and what the model answers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A message of the user. With ``audio`` it is spoken and ``text`` is its transcript, which the model does not see;
    without, ``text`` is written. ``instruction`` is written text before it in the same message, which the model sees,
    as in the stages of training: "Transcribe the speech." and a clip."""

    text: str = ""
    audio: bytes = b""  # encoded, in any format that :func:`opens2s_core.audio.decode_audio` reads
    instruction: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row of a suite. The model replies to each of ``turns`` in order, with its own replies as history."""

    id: str  # unique in the suite
    turns: tuple[Turn, ...]  # at least one
    system: str = ""
    transcribe: bool = False  # the reply to the only turn is the transcript of its clip, as the model was trained to
    language: str = "en"  # ISO 639-1
    category: str = ""  # for the plots of the report
    references: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    """What the suite scores with, JSON values: the instructions of IFEval, an emotion, the right choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A model's reply to a turn. Times are in seconds since the request, None where unknown."""

    text: str
    audio: bytes = b""  # FLAC; empty: not spoken
    audio_seconds: float = 0.0
    first_text: float | None = None
    first_audio: float | None = None  # the first sample that is not silence
    seconds: float | None = None  # until the end of the reply
    transcript: str | None = None  # of ``audio``, by the recogniser; None: not transcribed


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The replies to all turns of an item, or the ``error`` why there are none."""

    item: str
    replies: tuple[Reply, ...] = ()
    error: str = ""


def items_checksum(items: Sequence[Item]) -> str:
    """SHA-256 of all that the items contain, independent of the format of their files."""
    digest = hashlib.sha256()
    for item in items:
        turns = [[turn.instruction, turn.text, hashlib.sha256(turn.audio).hexdigest()] for turn in item.turns]
        rest = [
            item.id,
            item.system,
            item.transcribe,
            item.language,
            item.category,
            list(item.references),
            dict(item.labels),
            turns,
        ]
        digest.update(json.dumps(rest, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
