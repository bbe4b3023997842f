"""What is shown of a finished corpus: its distributions, and some dialogues to read and to listen to."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline.dataset import read_rows, read_shard
from data_pipeline.dataset.layout import DatasetFiles, file_of
from data_pipeline.dataset.reader import read_manifest
from data_pipeline.dialogues.schema import DIALOGUE, UTTERANCE
from data_pipeline.dialogues.speech import ARCHIVE
from data_pipeline.synthesis.quality.distributions import DialogueColumns, plot_distributions
from data_pipeline.synthesis.quality.measures import Measures
from data_pipeline.synthesis.quality.sample_page import SampleDialogue, SampleMessage, choose_samples, render_samples
from data_pipeline.synthesis.quality.words import split_words

_PER_CELL = 2
"""Dialogues of each cell on the page."""
_MEASURES = tuple(Measures.__annotations__)


def distributions(corpus: str, speech: str, title: str) -> bytes:
    """A PNG with the distributions of the finished corpus at URL ``corpus``; ``speech`` is that of its utterances."""
    seconds = {row["id"]: row["samples"] / row["rate"] for row in read_rows(speech, UTTERANCE)}
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in read_rows(corpus, DIALOGUE):
        columns["languages"].append(row["language"])
        columns["topics"].append(row["topic"])
        columns["turns"].append(sum(message["role"] == "user" and message["spoken"] for message in row["messages"]))
        for message, id in zip(row["messages"], row["utterances"], strict=True):
            if not id:
                continue
            side = "user" if message["role"] == "user" else "reply"
            columns[f"{side}_seconds"].append(seconds[id])
            columns[f"{side}_words"].append(len(split_words(message["text"])))
            if side == "user":
                for name in ("emotion", "gender", "age"):
                    columns[f"{name}s"].append(row[name])
            else:
                columns["tones"].append(message["tone"])
    names = DialogueColumns.__annotations__
    return plot_distributions(DialogueColumns(**{name: columns[name] for name in names}), title)


def sample_page(corpus: str, speech: str, title: str, seed: int) -> str:
    """An HTML page with a few dialogues of each kind, emotion and gender."""
    rows = {row["id"]: row for row in read_rows(corpus, DIALOGUE)}
    chosen = [rows[id] for id in choose_samples(((id, _cell(row)) for id, row in rows.items()), _PER_CELL, seed)]
    clips = dict(_clips(speech, {id for row in chosen for id in row["utterances"] if id}))
    return render_samples(title, [_sample(row, clips) for row in chosen])


def _cell(row: dict[str, Any]) -> str:
    if row["kind"] != "empathetic":
        return str(row["kind"])
    return ", ".join(row[name] for name in ("emotion", "gender") if row[name])


def _clips(speech: str, ids: set[str]) -> Iterator[tuple[str, tuple[dict[str, Any], bytes]]]:
    """Row and FLAC of each utterance."""
    files = DatasetFiles(speech)
    for shard in read_manifest(speech)["shards"]:
        wanted = [row for row in read_shard(speech, shard, UTTERANCE).to_pylist() if row["id"] in ids]
        for row in wanted:
            path = f"{files.root}/{file_of(shard, ARCHIVE)}"
            data = files.filesystem.cat_file(path, start=row["offset"], end=row["offset"] + row["size"])
            yield row["id"], (row, bytes(data))


def _sample(row: dict[str, Any], clips: dict[str, tuple[dict[str, Any], bytes]]) -> SampleDialogue:
    return SampleDialogue(id=row["id"], cell=_cell(row), messages=tuple(_messages(row, clips)))


def _messages(row: dict[str, Any], clips: dict[str, tuple[dict[str, Any], bytes]]) -> Iterator[SampleMessage]:
    labels: dict[str, Sequence[str]] = {"user": ("emotion", "gender", "age")}
    for message, id in zip(row["messages"], row["utterances"], strict=True):
        clip, audio = clips[id] if id else ({}, b"")
        shown = {name: row[name] for name in labels.get(message["role"], ())} | {"tone": message["tone"]}
        yield SampleMessage(
            role=message["role"],
            text=message["text"],
            audio=audio,
            labels=(shown | {"voice": clip["voice"]}) if id else {},
            measures={name: clip.get(name) for name in _MEASURES if name != "words"},
        )
