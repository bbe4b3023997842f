"""Dialogues and their clips as instruction JSONL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards, read_shard
from data_pipeline.dataset.layout import file_of
from data_pipeline.dataset.reader import read_rejects
from data_pipeline.dialogues.first_messages import text_facts
from data_pipeline.dialogues.layout import ARCHIVE, ROWS
from data_pipeline.dialogues.schema import DIALOGUE, LABELS, SPOKEN, WRITTEN
from data_pipeline.records import RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.steps.rejects import Rejects
from opens2s_core.audio import SAMPLE_RATE

VERSION = 1
"""Raised when the same dialogues and clips give other rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The dialogues of one shard of texts, and where their utterances are: by dialogue, for each message the id and the
    shard, empty where it is not spoken."""

    shard: str
    utterances: Mapping[str, tuple[tuple[str, str], ...]]


def plan_corpus(parts: Sequence[Part], made_from: Any) -> list[Shard]:
    """``made_from``: the fingerprints of texts and speech."""
    plain = [{"shard": part.shard, "utterances": dict(part.utterances)} for part in parts]
    shards = plan_shards(plain, made_by={"version": VERSION, "made_from": made_from})
    return [replace(shard, rows=len(part.utterances)) for shard, part in zip(shards, parts, strict=True)]


def make_corpus(inputs: str, *, texts: str, speech: str, speech_path: str) -> ShardContent:
    """The rows (schema DIALOGUE) of one planned shard, and their lines of instruction JSONL.

    ``texts`` and ``speech`` are the URLs of these data sets; ``speech_path`` is that of ``speech`` in the strings of
    clips. A dialogue with an utterance that was rejected is rejected with its reason.
    """
    value = json.loads(inputs)
    shard, places = value["shard"], value["utterances"]
    needed = {name for dialogue in places.values() for _, name in dialogue if name}
    clips = {
        row["id"]: row | {"shard": name} for name in needed for row in read_shard(speech, name, SPOKEN).to_pylist()
    }
    reasons = {row["id"]: row["reason"] for name in needed for row in read_rejects(speech, name).to_pylist()}

    def assemble(dialogue: _Dialogue) -> tuple[dict[str, Any], bytes]:
        found = [_clip(id, clips, reasons) for id, _ in places[dialogue.id]]
        return _row(dialogue.row, found), _line(dialogue.row, found, speech_path)

    rejects = Rejects()
    made = rejects.apply("speech", assemble, _dialogues(texts, shard))
    rows = [row for row, _ in made]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=DIALOGUE),
        rejects=rejects.table(),
        report=count_rows((_facts(row) for row in rows), rejects.rows),
        files={ROWS: b"".join(line for _, line in made)},
    )


@dataclass(frozen=True, slots=True)
class _Dialogue:
    row: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.row["id"])


def _dialogues(texts: str, shard: str) -> Iterator[_Dialogue]:
    return map(_Dialogue, read_shard(texts, shard, WRITTEN).to_pylist())


def _clip(id: str, clips: Mapping[str, dict[str, Any]], reasons: Mapping[str, str]) -> dict[str, Any] | None:
    """The row of an utterance; None for a message that is not spoken. Raises :class:`RejectedRow`."""
    if not id:
        return None
    if id in reasons:
        raise RejectedRow(reasons[id])
    return clips[id]


def _row(dialogue: dict[str, Any], clips: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    seconds = sum(clip["samples"] / clip["rate"] for clip in clips if clip is not None)
    ids = ["" if clip is None else clip["id"] for clip in clips]
    user = next(clip for clip in clips if clip is not None and clip["side"] == "user")
    # Those of the voice: a person's age or gender may have had none.
    labels = {name: user[name] for name in LABELS}
    return dialogue | labels | {"utterances": ids, "seconds": seconds}


def _line(dialogue: dict[str, Any], clips: Sequence[dict[str, Any] | None], speech_path: str) -> bytes:
    """A line of instruction JSONL. Its keys beside ``messages`` are this project's own."""
    messages = [_message(message, clip, speech_path) for message, clip in zip(dialogue["messages"], clips, strict=True)]
    spoken = [clip for clip in clips if clip is not None]
    provenance = {
        "writer": dialogue["writer"],
        "speakers": sorted({clip["speaker"] for clip in spoken}),
        "voices": sorted({clip["voice"] for clip in spoken}),
        "recognisers": sorted({clip["recogniser"] for clip in spoken if clip["recogniser"]}),
    }
    keys = {name: dialogue[name] for name in ("id", "kind", "topic", "language")}
    line = keys | {"messages": messages, "provenance": provenance}
    return (json.dumps(line, ensure_ascii=False) + "\n").encode()


def _message(message: dict[str, Any], clip: dict[str, Any] | None, speech_path: str) -> dict[str, Any]:
    audio = units = ""
    if clip is not None:
        audio = f"{speech_path}/{file_of(clip['shard'], ARCHIVE)}:{clip['offset']}:{clip['size']}"
        units = "".join(f"<|audio_{unit}|>" for unit in clip["units"])
    content = [{"text": message["text"], "audio": audio, "speech_units": units, "spk_emb": ""}]
    labels = {}
    if clip is not None and clip["side"] == "user":
        labels = {name: clip[name] for name in LABELS}
    elif message["tone"]:
        labels = {"tone": message["tone"]}
    return {"role": message["role"], **labels, "content": content}


def _facts(row: dict[str, Any]) -> RowFacts:
    return replace(text_facts(row), clip_samples=(round(row["seconds"] * SAMPLE_RATE),))
