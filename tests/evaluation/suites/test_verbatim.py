"""Replies are right where they are exactly those of the corpus."""

from pathlib import Path

import pytest

from evaluation.items import Answer, Reply
from evaluation.suites.verbatim import Verbatim
from tests.data_pipeline.dialogues.memory import build, dialogue, flac, message

WRITTEN = [
    dialogue("a", message("user", "I lost my keys."), message("assistant", "I am so sorry.")),
    dialogue("b", message("user", "I won it all."), message("assistant", "Wonderful!")),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus")
    build(path, WRITTEN)
    return str(path)


def test_items_are_the_first_messages_with_their_clips(corpus: str) -> None:
    items = Verbatim().items(corpus)
    assert [item.id for item in items] == ["a", "b"]
    assert [item.references for item in items] == [("I am so sorry.",), ("Wonderful!",)]
    assert [item.turns[0].audio for item in items] == [flac("I lost my keys."), flac("I won it all.")]


def test_the_checksum_is_that_of_messages_and_references(corpus: str, tmp_path: Path) -> None:
    build(tmp_path, [WRITTEN[0], dialogue("b", message("user", "I won it all."), message("assistant", "Great!"))])
    first, again, other = (Verbatim().describe(path) for path in (corpus, corpus, str(tmp_path)))
    assert first == again
    assert first["rows"] == 2
    assert first["checksum"] != other["checksum"]


@pytest.mark.parametrize(("text", "exact"), [("I am so sorry.", 1.0), ("I am so sorry", 0.0), ("", 0.0)])
def test_one_character_makes_a_reply_another_one(corpus: str, text: str, exact: float) -> None:
    [item, _] = Verbatim().items(corpus)
    [score] = Verbatim().scores(item, Answer(item="a", replies=(Reply(text=text),)), [])
    assert (score.metric, score.value) == ("exact", exact)


def test_times_are_scored_where_they_are_known(corpus: str) -> None:
    [item, _] = Verbatim().items(corpus)
    reply = Reply(text="x", audio=b"x", audio_seconds=2.0, first_text=0.1, first_audio=0.3, seconds=0.5)
    scores = Verbatim().scores(item, Answer(item="a", replies=(reply,)), [])
    assert {score.metric: score.value / score.weight for score in scores} == {
        "exact": 0.0,
        "first_text": 0.1,
        "first_audio": 0.3,
        "real_time_factor": 0.25,
    }
