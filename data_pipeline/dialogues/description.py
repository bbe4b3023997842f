"""What is shown of a finished corpus: its distributions, and some dialogues to read and to listen to."""

from collections import defaultdict
from typing import Any

from data_pipeline.dataset import absolute_url, read_rows
from data_pipeline.dialogues.layout import DIALOGUES, SPEECH
from data_pipeline.dialogues.reading import SpokenDialogue, SpokenMessage, read_dialogues
from data_pipeline.dialogues.schema import DIALOGUE, LABELS, SPOKEN
from data_pipeline.synthesis.quality.distributions import DialogueColumns, plot_distributions
from data_pipeline.synthesis.quality.measures import Measures
from data_pipeline.synthesis.quality.sample_page import SampleDialogue, SampleMessage, choose_samples, render_samples
from data_pipeline.synthesis.quality.words import split_words

_PER_CELL = 2
"""Dialogues of each cell on the page."""
_MEASURES, _COLUMNS = tuple(Measures.__annotations__), tuple(DialogueColumns.__annotations__)


def distributions(corpus: str, title: str) -> bytes:
    """A PNG with the distributions of the dialogues of a corpus, a directory or URL."""
    url = absolute_url(corpus)
    seconds = {row["id"]: row["samples"] / row["rate"] for row in read_rows(f"{url}/{SPEECH}", SPOKEN)}
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in read_rows(f"{url}/{DIALOGUES}", DIALOGUE):
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
                for name in LABELS:
                    columns[f"{name}s"].append(row[name])
            else:
                columns["tones"].append(message["tone"])
    return plot_distributions(DialogueColumns(**{name: columns[name] for name in _COLUMNS}), title)


def sample_page(corpus: str, title: str, seed: int) -> str:
    """An HTML page with a few dialogues of each kind, emotion and gender."""
    cells = ((row["id"], _cell(row)) for row in read_rows(f"{absolute_url(corpus)}/{DIALOGUES}", DIALOGUE))
    chosen = choose_samples(cells, _PER_CELL, seed)
    return render_samples(title, [_sample(dialogue) for dialogue in read_dialogues(corpus, set(chosen))])


def _cell(row: dict[str, Any]) -> str:
    if row["kind"] != "empathetic":
        return str(row["kind"])
    return ", ".join(row[name] for name in ("emotion", "gender") if row[name])


def _sample(dialogue: SpokenDialogue) -> SampleDialogue:
    row = dialogue.row
    return SampleDialogue(
        id=row["id"], cell=_cell(row), messages=tuple(_message(row, message) for message in dialogue.messages)
    )


def _message(row: dict[str, Any], spoken: SpokenMessage) -> SampleMessage:
    message, utterance = spoken.message, spoken.utterance
    labels = {name: row[name] for name in LABELS} if message["role"] == "user" else {"tone": message["tone"]}
    return SampleMessage(
        role=message["role"],
        text=message["text"],
        audio=spoken.audio,
        labels=labels | {"voice": utterance["voice"]} if utterance else {},
        measures={name: utterance.get(name) for name in _MEASURES if name != "words"},
    )
