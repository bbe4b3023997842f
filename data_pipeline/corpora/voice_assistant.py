"""VoiceAssistant-400K: spoken questions with written answers, English."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, split_rounds
from data_pipeline.corpora.tables import parquet_rows
from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage, Reject

_COLUMNS = ("split_name", "index", "round", "question", "answer")
_AUDIO = "question_audio"
_NO_ROUND = ("", "none", "null")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Exchange:
    path: str
    number: int  # in the file, from 0
    id: str  # of the conversation
    round: str
    question: str
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceAssistant:
    """Layout::

        data/train-00000-of-00325.parquet       split_name, index, round, question, question_audio, answer, answer_snac

    The files may also be in ``root`` itself. The rounds of one index are one conversation, also across files; a row
    without a round is a conversation of its own. Answers have no audio: ``answer_snac``, codes of another codec, is not
    read.
    """

    name: ClassVar[str] = "voice_assistant"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="VoiceAssistant-400K",
        homepage="https://huggingface.co/datasets/gpt-omni/VoiceAssistant-400K",
        licence="Apache-2.0",
        consent="Questions spoken by a synthesizer. Consent of the speakers whose voices it has: not stated.",
        languages=("en",),
    )

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a Parquet file."""
        found = files.glob("data/*.parquet") or files.glob("*.parquet")
        if not found:
            raise CorpusError(f"{files.root}: expected the Parquet files of VoiceAssistant-400K: data/train-*.parquet")
        return found

    def read(self, files: CorpusFiles, part: str) -> Iterator[Conversation | Reject]:
        """The conversations that start in ``part``."""
        paths = self.parts(files)
        place = paths.index(part)
        rows = _rows(files, part)
        started = _ids(files, paths[place - 1]) if place else frozenset()
        groups: dict[str, list[_Exchange]] = {}
        for row in rows:
            if not row.id:
                yield bad_row(f"{part}:{row.number}", "no id: expected the columns split_name and index")
            elif row.id not in started or _is_alone(row):
                groups.setdefault(row.id, []).append(row)
        unfinished = set(groups)
        for path in paths[place + 1 :]:
            continued = [row for row in _rows(files, path) if row.id in unfinished and not _is_alone(row)]
            for row in continued:
                groups[row.id].append(row)
            unfinished = {row.id for row in continued}
            if not unfinished:
                break
        for id, group in groups.items():
            yield from self._conversation(id, group)

    def _conversation(self, id: str, group: list[_Exchange]) -> Iterator[Conversation | Reject]:
        alone, rounds = [row for row in group if _is_alone(row)], [row for row in group if not _is_alone(row)]
        kept, faults = split_rounds(rounds, lambda row: row.round)
        if alone and not kept:
            kept, alone = alone[:1], alone[1:]
        faults += [(row, f"duplicate id: {id} stands in more than one row, expected rounds") for row in alone]
        messages: list[ConversationMessage] = []
        for place, row in enumerate(kept):
            if not (row.question and row.answer):
                missing = "question" if not row.question else "answer"
                faults.append((row, f"no text: the {missing} is empty"))
                faults += [(later, f"missing round: {row.round} before it is rejected") for later in kept[place + 1 :]]
                break
            clip = AudioReference(path=row.path, row=row.number, column=_AUDIO)
            messages += [
                ConversationMessage(role="user", content=(Content(text=row.question, audio=clip),)),
                ConversationMessage(role="assistant", content=(Content(text=row.answer),)),
            ]
        if messages:
            yield Conversation(id=id, corpus=self.name, split="train", language="en", messages=tuple(messages))
        for row, reason in faults:
            yield bad_row(f"{row.path}:{row.number}", reason)


def _rows(files: CorpusFiles, path: str) -> Iterator[_Exchange]:
    for number, row in enumerate(parquet_rows(files, path, _COLUMNS, audio_columns=(_AUDIO,))):
        text = {name: "" if row[name] is None else str(row[name]).strip() for name in _COLUMNS}
        yield _Exchange(
            path=path,
            number=number,
            id="-".join(filter(None, (text["split_name"], text["index"]))) if text["index"] else "",
            round=text["round"],
            question=text["question"],
            answer=text["answer"],
        )


def _is_alone(row: _Exchange) -> bool:
    return row.round.lower() in _NO_ROUND


def _ids(files: CorpusFiles, path: str) -> frozenset[str]:
    """The conversations of which a file holds rounds."""
    return frozenset(row.id for row in _rows(files, path) if not _is_alone(row))
