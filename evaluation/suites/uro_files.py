"""URO-Bench's files: ``{basic,pro}/<set>/test.jsonl`` with wav files, and the files of a run of its own scripts."""

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.suites.data_files import DataFiles, find_files
from evaluation.suites.uro_sets import UroSet
from opens2s_core.audio import decode_audio, encode_audio

_NO_TRANSCRIPT = " "
"""What the published scripts write for a missing clip."""


def find_test_file(data: str, uro_set: UroSet) -> DataFiles:
    """``test.jsonl`` of the set: ``data`` is the root, the directory of the set, or the file."""
    return find_files(data, (f"{uro_set.track}/{uro_set.name}/test.jsonl", f"{uro_set.name}/test.jsonl", "test.jsonl"))


def read_items(data: str, uro_set: UroSet) -> list[Item]:
    """Numbered in order, as the published runs are. Raises ``ValueError`` that names the file and the row."""
    files = find_test_file(data, uro_set)
    path = files.paths[0]
    items = []
    for number, line in enumerate(_lines(files)):
        where = f"{path}, row {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where}: expected a JSON object: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where}: expected a JSON object, got {row!r:.100}")
        items.append(_item(files, uro_set, number, row, where))
    if not items:
        raise ValueError(f"{path}: expected rows of {uro_set.name}, found none")
    return items


def row_count(files: DataFiles) -> int:
    return len(_lines(files))


def _lines(files: DataFiles) -> list[str]:
    with files.filesystem.open(files.paths[0], "rb") as file:
        text = file.read().decode("utf-8-sig")
    return [line for line in text.split("\n") if line.strip()]


def _item(files: DataFiles, uro_set: UroSet, number: int, row: Mapping[str, Any], where: str) -> Item:
    if uro_set.is_dialogue:
        rounds = row.get("dialogue")
        if not isinstance(rounds, list) or not all(isinstance(entry, dict) for entry in rounds) or not rounds:
            raise ValueError(f"{where}: expected a dialogue of rounds, got {rounds!r:.100}")
    else:
        rounds = [row]
    turns = tuple(
        Turn(text=_text(entry, "source_text", where), audio=_clip(files, _text(entry, "source_wav", where), where))
        for entry in rounds
    )
    labels: dict[str, Any] = {
        "id": _name(row, "id", number, where),
        "rounds": [_name(entry, "round", index, where) for index, entry in enumerate(rounds)],
        "source_wavs": [entry["source_wav"] for entry in rounds],
    }
    needed = {"emotion": "emotion", "emotional speech": "emotion", "style": "style", "language": "requirement"}
    category = ""
    if (column := needed.get(uro_set.mode)) is not None:
        category = labels[column] = _text(row, column, where)
    references = tuple(_reference(entry, where) for entry in rounds)
    return Item(
        id=f"{number:04d}",
        turns=turns,
        language=uro_set.language,
        category=category,
        references=references,
        labels=labels,
    )


def _name(row: Mapping[str, Any], column: str, default: int, where: str) -> int | str:
    """A whole number or a text without slashes: it becomes a part of the path of a reply's clip."""
    value = row.get(column, default)
    if not isinstance(value, int | str) or value in ("", "..") or Path(str(value)).name != str(value):
        raise ValueError(f"{where}: expected {column}, a whole number or a text without slashes, got {value!r:.100}")
    return value


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected {column}, got {value!r:.100}")
    return value


def _reference(row: Mapping[str, Any], where: str) -> str:
    """Several references are one text, as in the published scripts; without any, the user's words are it."""
    value = row.get("target_text", row["source_text"])
    if isinstance(value, list):
        return " / ".join(map(str, value))
    if not isinstance(value, str | int | float):
        raise ValueError(f"{where}: expected target_text, a text or a list of texts, got {value!r:.100}")
    return str(value)


def _clip(files: DataFiles, name: str, where: str) -> bytes:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(files.paths[0]), name))
    try:
        return bytes(files.filesystem.cat_file(path))
    except OSError as error:
        raise ValueError(f"{where}: expected audio {path}: {error}") from error


def write_run(uro_set: UroSet, items: Sequence[Item], answers: Sequence[Answer], directory: Path) -> Path:
    """A run of one set, as the published scripts write and score it, in ``directory/<track>/<set>``, which is returned.

    ``pred_text``, ``question_text``, ``gt_text`` and ``asr_text`` (transcripts) have a row ``{"0000": text}`` for each
    item, ``audio/0000.wav`` the speech. Of dialogues, ``output_with_text`` and ``asr_text`` have the rows of the data
    with the replies, and ``<id>/chat_0.wav`` the speech. An answer with an error has empty texts and no speech.
    """
    target = directory / uro_set.track / uro_set.name
    target.mkdir(parents=True, exist_ok=True)
    answered = {answer.item: answer.replies for answer in answers if not answer.error}
    replies = [answered.get(item.id, (Reply(text=""),) * len(item.turns)) for item in items]
    if uro_set.is_dialogue:
        pairs = list(zip(items, replies, strict=True))
        _write_rows(target / "output_with_text.jsonl", (_dialogue(i, [r.text.strip() for r in rs]) for i, rs in pairs))
        _write_rows(target / "asr_text.jsonl", (_dialogue(i, [_transcript(r) for r in rs]) for i, rs in pairs))
        for item, spoken in pairs:
            for number, reply in zip(item.labels["rounds"], spoken, strict=True):
                _write_wav(target / str(item.labels["id"]) / f"chat_{number}.wav", reply)
        return target
    for name, texts in {
        "question_text": [item.turns[0].text for item in items],
        "gt_text": [item.references[0] for item in items],
        "pred_text": [spoken[0].text for spoken in replies],
        "asr_text": [_transcript(spoken[0]) for spoken in replies],
    }.items():
        _write_rows(target / f"{name}.jsonl", ({item.id: text} for item, text in zip(items, texts, strict=True)))
    for item, spoken in zip(items, replies, strict=True):
        _write_wav(target / "audio" / f"{item.id}.wav", spoken[0])
    return target


def _dialogue(item: Item, texts: Sequence[str]) -> dict[str, Any]:
    rounds = zip(item.labels["rounds"], item.labels["source_wavs"], item.turns, item.references, texts, strict=True)
    return {
        "id": item.labels["id"],
        "num_round": len(item.turns),
        "dialogue": [
            {
                "round": number,
                "source_wav": wav,
                "source_text": turn.text,
                "target_text": reference,
                "output_text": text,
            }
            for number, wav, turn, reference, text in rounds
        ],
    }


def _transcript(reply: Reply) -> str:
    return (reply.transcript or "").strip() or _NO_TRANSCRIPT


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _write_wav(path: Path, reply: Reply) -> None:
    if reply.audio:
        samples, rate = decode_audio(reply.audio)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_audio(samples, rate, container="wav"))
