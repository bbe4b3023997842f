"""Spoken messages of users as items: of a corpus of dialogues, or of a manifest in JSON Lines."""

import hashlib
import json
from collections.abc import Iterator, Sequence

from data_pipeline.dialogues.reading import SpokenDialogue, read_dialogues
from evaluation.items import Item, Turn
from evaluation.suites.records import Record, read_records

_LABELS = ("pair", "emotion", "tone", "gender", "age", "topic")


def spoken_items(data: str) -> list[Item]:
    """``data`` is a manifest ``*.jsonl``, or else a corpus of dialogues of this project.

    A row of a manifest has ``audio``, a path, and ``text``; it may have ``id``, ``language`` and the labels ``pair``,
    ``emotion``, ``tone`` (of the expected reply), ``gender``, ``age`` and ``topic``. Of a dialogue, the first message
    of the user is taken, with the same labels; its ``tone`` is that of the reply in the corpus.

    Raises ``ValueError``.
    """
    if data.endswith(".jsonl"):
        return [_of_row(record) for record in read_records(data, ())]
    return [item for dialogue in read_dialogues(data) for item in _of_dialogue(dialogue)]


def items_checksum(items: Sequence[Item]) -> str:
    """SHA-256 of all that the items contain, independent of the format of their files."""
    digest = hashlib.sha256()
    for item in items:
        audio = [hashlib.sha256(turn.audio).hexdigest() for turn in item.turns]
        texts = [turn.text for turn in item.turns]
        rest = [item.id, item.system, item.language, list(item.references), dict(item.labels), texts, audio]
        digest.update(json.dumps(rest, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _of_row(record: Record) -> Item:
    labels = {name: record.text(name) for name in _LABELS}
    return Item(
        id=record.text("id") or str(record.number),
        turns=(Turn(text=record.text("text"), audio=record.clip("audio", record.find("audio"))),),
        language=record.text("language") or "en",
        category=labels["emotion"],
        labels={name: value for name, value in labels.items() if value},
    )


def _of_dialogue(dialogue: SpokenDialogue) -> Iterator[Item]:
    """None where the user says nothing."""
    row, messages = dialogue.row, dialogue.messages
    first = next((number for number, each in enumerate(messages) if each.message["role"] == "user"), None)
    if first is None:
        return
    labels = {name: row[name] for name in _LABELS if row.get(name)}
    if tone := next((each.message["tone"] for each in messages[first + 1 :] if each.message["tone"]), ""):
        labels["tone"] = tone
    yield Item(
        id=row["id"],
        turns=(Turn(text=messages[first].message["text"], audio=messages[first].audio),),
        system="\n".join(each.message["text"] for each in messages[:first] if each.message["role"] == "system"),
        language=row["language"],
        category=row["emotion"],
        labels=labels,
    )
