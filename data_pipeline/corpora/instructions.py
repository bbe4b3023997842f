"""Instruction JSONL of OpenS2S: conversations of text, clips and speech units, as its offline tool reads them."""

import io
import math
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np

from data_pipeline.corpora.audio_strings import parse_audio
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing, raise_rejected
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import (
    Age,
    AudioReference,
    Content,
    Conversation,
    ConversationMessage,
    Emotion,
    Gender,
    Reject,
    RejectedRow,
)

_KEYS = ("text", "audio", "speech_units")  # and "spk_emb", which may be missing
_UNITS = re.compile(r"(?:\s*<\|audio_\d{1,9}\|>)+\s*")
_UNIT = re.compile(r"<\|audio_(\d+)\|>")
# A damaged header is no Python expression, or has a shape that memory cannot hold.
_BAD_VECTOR = (ValueError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError)
_ROLES = ("system", "user", "assistant")
_LABELS: dict[str, tuple[str, ...]] = {"emotion": get_args(Emotion), "gender": get_args(Gender), "age": get_args(Age)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Instructions:
    """Layout, with one conversation a line::

        train.jsonl     {"messages": [{"role": "user", "content": [{"text": "", "audio": "wavs/a.wav",
                        "speech_units": "", "spk_emb": ""}]}, {"role": "assistant", "content": […]}]}
        wavs/a.wav

    The four values are strings, empty where there is nothing; ``spk_emb`` may be missing. ``audio`` is a string of
    :func:`~data_pipeline.corpora.audio_strings.parse_audio`, ``speech_units`` is ``<|audio_12|><|audio_7|>…``, and
    ``spk_emb`` is the path of a NumPy file (``.npy``) or numbers separated by commas or spaces. Paths are relative to
    ``root``, or absolute and below it. ``manifests`` is a pattern of paths below ``root``; each manifest is a split.
    ``language`` is that of rows that do not state theirs.

    This project's own keys may be missing: ``id`` and ``language`` of a row, ``emotion``, ``gender`` and ``age`` of a
    message. Corpora of ``ray_jobs.build_dialogues`` have them.
    """

    name: ClassVar[str] = "instructions"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Instruction JSONL",
        homepage="https://github.com/CASIA-LM/OpenS2S",
        licence="not stated: that of the clips and texts in the manifests",
        consent="not stated",
        languages=("en", "zh"),
    )
    manifests: str = "*.jsonl"
    language: str = "en"

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a manifest."""
        found = files.glob(self.manifests)
        if not found:
            raise CorpusError(f"{files.root}: expected manifests in JSON Lines that match {self.manifests!r}")
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Conversation | Reject]:
        loader = _Loader(files=files, listing=Listing(files))
        split = part.rpartition(".")[0] or part
        for number, record in json_rows(files, part):
            id = f"{split}-{number:08d}"
            try:
                if isinstance(record, RejectedRow):
                    raise record
                id = _text_or(record, "id", id)
                language = _text_or(record, "language", self.language)
                messages = _messages(record, loader)
                yield Conversation(id=id, corpus=self.name, split=split, language=language, messages=messages)
            except RejectedRow as error:
                yield bad_row(id, error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loader:
    """Resolves the strings of content. Speaker vectors are few and shared by many rows, so they are kept."""

    files: CorpusFiles
    listing: Listing
    vectors: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def content(self, item: Any) -> Content:
        if not isinstance(item, dict) or any(not isinstance(item.get(key), str) for key in _KEYS):
            raise RejectedRow(f"bad row: content {str(item)[:80]!r}, expected the strings {', '.join(_KEYS)}")
        text, audio, units = (item[key] for key in _KEYS)
        return Content(
            text=text,
            audio=None if not audio else self._clip(audio),
            units=_units(units),
            speaker_embedding=self._vector(item.get("spk_emb", "")),
        )

    def _clip(self, text: str) -> AudioReference:
        clip = parse_audio(self.files.relative(text))
        self.listing.find(clip.path)
        return clip

    def _vector(self, text: Any) -> tuple[float, ...]:
        if not isinstance(text, str):
            raise RejectedRow(f"bad row: spk_emb is {str(text)[:80]!r}, expected a string")
        if not text:
            return ()
        if text not in self.vectors:
            self.vectors[text] = _numbers(text) or self._stored(text)
        return self.vectors[text]

    def _stored(self, text: str) -> tuple[float, ...]:
        path = self.listing.find(self.files.relative(text))
        try:
            values = np.lib.format.read_array(io.BytesIO(self.files.read(path)), allow_pickle=False)
        except OSError as error:
            raise_rejected(error, path)
        except _BAD_VECTOR as error:
            raise RejectedRow(f"bad speaker vector: {path}: expected a NumPy file: {error}") from None
        if values.size != max(values.shape, default=0) or not np.issubdtype(values.dtype, np.floating):
            raise RejectedRow(f"bad speaker vector: {path} has shape {values.shape} and type {values.dtype}")
        if not np.isfinite(values).all():
            raise RejectedRow(f"bad speaker vector: {path} holds numbers that are not finite")
        return tuple(values.reshape(-1).tolist())


def _messages(record: dict[str, Any], loader: _Loader) -> tuple[ConversationMessage, ...]:
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RejectedRow(f"bad row: expected the key messages with a list, found {sorted(record)}")
    parsed = tuple(_message(message, loader) for message in messages)
    if any(message.role == "system" for message in parsed[1:]):
        raise RejectedRow("bad order: a system message follows others")
    if parsed[-1].role != "assistant":
        raise RejectedRow(f"no reply: the last message is the {parsed[-1].role}'s, expected the assistant's")
    return parsed


def _message(message: Any, loader: _Loader) -> ConversationMessage:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise RejectedRow(f"bad role: {str(message)[:80]!r}, expected a role of {', '.join(_ROLES)}")
    content = message.get("content")
    if not isinstance(content, list) or not content:
        raise RejectedRow(f"bad row: content is {str(content)[:80]!r}, expected a list of objects")
    found = tuple(loader.content(item) for item in content)
    if not any(item.text or item.audio or item.units for item in found):
        raise RejectedRow(f"empty message: all content of the {message['role']} is empty")
    if message["role"] != "assistant" and any(item.units and not item.audio for item in found):
        raise RejectedRow(f"bad units: the {message['role']} has speech_units, expected them of the assistant")
    return ConversationMessage(role=message["role"], content=found, **_labels(message))


def _text_or(record: dict[str, Any], name: str, default: str) -> str:
    """The text of an own key, ``default`` where there is none."""
    value = record.get(name, "")
    if not isinstance(value, str):
        raise RejectedRow(f"bad row: {name} is {str(value)[:80]!r}, expected a string")
    return value or default


def _labels(message: dict[str, Any]) -> dict[str, Any]:
    """Of the message's speaker, where the row has them."""
    labels = {name: message.get(name, "") for name in _LABELS}
    for name, known in _LABELS.items():
        if labels[name] not in known:
            raise RejectedRow(f"unknown {name}: {str(labels[name])[:80]!r}, expected one of {', '.join(known[:-1])}")
    return labels


def _units(text: str) -> tuple[int, ...]:
    if text and not _UNITS.fullmatch(text):
        raise RejectedRow(f"bad units: {text[:80]!r}, expected <|audio_0|><|audio_1|>…")
    return tuple(int(unit) for unit in _UNIT.findall(text))


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a vector written out; none where ``text`` is a path."""
    try:
        values = tuple(float(number) for number in text.strip("[] ").replace(",", " ").split())
    except ValueError:
        return ()
    if not all(math.isfinite(value) for value in values):
        raise RejectedRow(f"bad speaker vector: {text[:80]!r} holds numbers that are not finite")
    return values
