"""Finished corpora of dialogues with their clips."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from data_pipeline.dataset import absolute_url, finished_shards, read_rows, read_shard
from data_pipeline.dataset.layout import DatasetFiles, file_of
from data_pipeline.dialogues.layout import ARCHIVE, DIALOGUES, SPEECH
from data_pipeline.dialogues.schema import DIALOGUE, SPOKEN


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """A message (schema MESSAGE), the row of its utterance (schema SPOKEN), and its FLAC; the last two are empty for
    a message that is not spoken."""

    message: dict[str, Any]
    utterance: dict[str, Any]
    audio: bytes


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    """``row`` is of schema DIALOGUE."""

    row: dict[str, Any]
    messages: tuple[SpokenMessage, ...]


def read_dialogues(corpus: str, ids: Collection[str] | None = None) -> list[SpokenDialogue]:
    """The dialogues of the corpus at ``corpus``, a directory or URL, in order; all, or those with some ``ids``.

    Raises :class:`~data_pipeline.dataset.DatasetError` where there is no finished corpus.
    """
    url = absolute_url(corpus)
    rows = [row for row in read_rows(f"{url}/{DIALOGUES}", DIALOGUE) if ids is None or row["id"] in ids]
    spoken = dict(_utterances(f"{url}/{SPEECH}", {id for row in rows for id in row["utterances"] if id}))
    return [SpokenDialogue(row, tuple(_messages(row, spoken))) for row in rows]


def _utterances(speech: str, ids: set[str]) -> Iterator[tuple[str, tuple[dict[str, Any], bytes]]]:
    """Row and FLAC by id."""
    files = DatasetFiles(speech)
    for shard in finished_shards(speech):
        path = f"{files.root}/{file_of(shard, ARCHIVE)}"
        for row in read_shard(speech, shard, SPOKEN).to_pylist():
            if row["id"] in ids:
                data = files.filesystem.cat_file(path, start=row["offset"], end=row["offset"] + row["size"])
                yield row["id"], (row, bytes(data))


def _messages(row: dict[str, Any], spoken: dict[str, tuple[dict[str, Any], bytes]]) -> Iterator[SpokenMessage]:
    for message, id in zip(row["messages"], row["utterances"], strict=True):
        yield SpokenMessage(message, *(spoken[id] if id else ({}, b"")))
