"""The answers of a run on disk: ``answers.jsonl``, ``transcripts.jsonl`` and the clips under ``audio/``.

A row is appended when all that belongs to it is written. Of several rows of an item the last one counts: an item whose
answer has an error is answered again at the next start.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.items import Answer, Item, Reply
from evaluation.jsonl import JsonlWriter, read_rows

ANSWERS, TRANSCRIPTS, AUDIO = "answers.jsonl", "transcripts.jsonl", "audio"
JUDGEMENTS = "judgements.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReply:
    """A :class:`Reply` whose audio is the file ``audio`` of the run's directory, empty where it is not spoken."""

    text: str
    audio: str
    audio_seconds: float
    first_text: float | None
    first_audio: float | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    item: str
    replies: tuple[StoredReply, ...]
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTranscript:
    """Of the reply to the turn ``turn`` of an item, from 0; None with an ``error``."""

    item: str
    turn: int
    transcript: str | None
    error: str = ""


class StoredAnswers:
    """The answers in ``directory``, to read them: nothing is written there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        rows = read_rows(directory / ANSWERS, StoredAnswer)
        self._answers = {row.item: row for row in rows}
        transcripts = read_rows(directory / TRANSCRIPTS, StoredTranscript)
        self._transcripts = {(row.item, row.turn): row for row in transcripts}

    @property
    def items(self) -> list[str]:
        """Ids of the items with an answer or an error in its place."""
        return list(self._answers)

    def audio(self, item: str, turn: int) -> bytes:
        """The FLAC of a spoken reply."""
        return (self._directory / self._answers[item].replies[turn].audio).read_bytes()

    def answer(self, item: str) -> Answer:
        """With audio and transcripts. ``KeyError`` for an item without an answer."""
        stored = self._answers[item]
        return Answer(
            item=item,
            replies=tuple(self._reply(item, turn, reply) for turn, reply in enumerate(stored.replies)),
            error=stored.error,
        )

    def _reply(self, item: str, turn: int, stored: StoredReply) -> Reply:
        audio = (self._directory / stored.audio).read_bytes() if stored.audio else b""
        transcript = row.transcript if (row := self._transcripts.get((item, turn))) is not None else None
        return Reply(**(asdict(stored) | {"audio": audio, "transcript": transcript}))


class AnswerStore(StoredAnswers):
    """The answers in ``directory`` to ``items``, all those of the suite: clips are numbered by their order."""

    def __init__(self, directory: Path, items: Sequence[Item]) -> None:
        super().__init__(directory)
        self._numbers = {item.id: number for number, item in enumerate(items)}
        (directory / AUDIO).mkdir(parents=True, exist_ok=True)
        self._answer_rows, self._transcript_rows = (JsonlWriter(directory / name) for name in (ANSWERS, TRANSCRIPTS))

    def close(self) -> None:
        for writer in (self._answer_rows, self._transcript_rows):
            writer.__exit__(None, None, None)

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def missing(self, items: Sequence[Item]) -> list[Item]:
        """Those without an answer, or with one that has an error."""
        return [item for item in items if item.id not in self._answers or self._answers[item.id].error]

    def add(self, answer: Answer) -> None:
        """Durable when this returns."""
        replies = []
        for turn, reply in enumerate(answer.replies):
            name = ""
            if reply.audio:
                name = f"{AUDIO}/{self._numbers[answer.item]}-{turn}.flac"
                _write(self._directory / name, reply.audio)
            fields = {key: value for key, value in asdict(reply).items() if key != "transcript"}
            replies.append(StoredReply(**(fields | {"audio": name})))
        row = StoredAnswer(item=answer.item, replies=tuple(replies), error=answer.error)
        self._answer_rows.append(row)
        self._answers[answer.item] = row

    def untranscribed(self, items: Sequence[Item]) -> list[tuple[Item, int]]:
        """Item and turn of each spoken reply to ``items`` without a transcript, or with an error in its place."""
        return [
            (item, turn)
            for item in items
            if item.id in self._answers
            for turn, reply in enumerate(self._answers[item.id].replies)
            if reply.audio and ((row := self._transcripts.get((item.id, turn))) is None or row.error)
        ]

    def add_transcript(self, row: StoredTranscript) -> None:
        self._transcript_rows.append(row)
        self._transcripts[row.item, row.turn] = row


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # before its row
