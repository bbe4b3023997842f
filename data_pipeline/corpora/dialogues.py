"""Spoken dialogues of this project, as ``ray_jobs.build_dialogues`` publishes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import parquet_rows
from data_pipeline.records import (
    AudioReference,
    Content,
    Conversation,
    ConversationMessage,
    Emotion,
    Gender,
    Reject,
)

LABELS: dict[str, Emotion] = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "afraid": "fearful",
    "surprised": "surprised",
}
_COLUMNS = ("id", "user_text", "user_feeling", "user_voice", "reply_text")
_AUDIO = ("user_audio", "reply_audio")
_SHARD = re.compile(r"\d{5}-of-(\d{5})\.parquet")
_GENDERS: dict[str, Gender] = {"f": "female", "m": "male"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialogues:
    """Layout::

        00000-of-00002.parquet      one exchange a row, schema :data:`~data_pipeline.schema.DIALOGUE`
        00001-of-00002.parquet

    A data set with a missing shard is an error. There are no splits: the split is ``all``.
    """

    name: ClassVar[str] = "dialogues"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Spoken dialogues",
        homepage="not stated",
        licence="not stated",
        consent="No person was recorded: a writer made the texts, and synthesizers speak them. "
        "Consent of the speakers whose voices they have: not stated.",
        languages=("en",),
    )

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a shard."""
        found = [name for name in files.names() if _SHARD.fullmatch(name)]
        counts = {match[1] for name in found if (match := _SHARD.fullmatch(name))}
        count = int(counts.pop()) if len(counts) == 1 else 0
        if not found or found != [f"{shard:05d}-of-{count:05d}.parquet" for shard in range(count)]:
            raise CorpusError(
                f"{files.root}: expected all shards of a finished data set, 00000-of-NNNNN.parquet and so on; "
                f"found {len(found)}: {', '.join(found[:3])}"
            )
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Conversation | Reject]:
        for number, row in enumerate(parquet_rows(files, part, _COLUMNS, audio_columns=_AUDIO)):
            id = row["id"] or f"{part}:{number}"
            if missing := [name for name in ("id", "user_text", "reply_text") if not (row[name] or "").strip()]:
                yield bad_row(id, f"no text: {', '.join(missing)} is empty")
            elif row["user_feeling"] not in LABELS:
                yield bad_row(id, f"unknown emotion: {row['user_feeling']!r}, expected one of {', '.join(LABELS)}")
            else:
                user, reply = (AudioReference(path=part, row=number, column=column) for column in _AUDIO)
                yield Conversation(
                    id=id,
                    corpus=self.name,
                    split="all",
                    language="en",
                    messages=(
                        ConversationMessage(
                            role="user",
                            content=(Content(text=row["user_text"], audio=user),),
                            gender=gender_of(row["user_voice"] or ""),
                            emotion=LABELS[row["user_feeling"]],
                            original_emotion=row["user_feeling"],
                        ),
                        ConversationMessage(role="assistant", content=(Content(text=row["reply_text"], audio=reply),)),
                    ),
                )


def gender_of(voice: str) -> Gender:
    """Of a voice such as ``en-us+f3``. Variants with the name of a person do not say it."""
    match = re.fullmatch(r"[^+]+\+([fm])\d+", voice)
    return _GENDERS[match[1]] if match else ""
