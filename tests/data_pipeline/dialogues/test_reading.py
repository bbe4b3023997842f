from pathlib import Path

import pytest

from data_pipeline.dataset import DatasetError
from data_pipeline.dialogues.reading import read_dialogues
from tests.data_pipeline.dialogues.memory import build, dialogue, flac, message

CALL = message("assistant", "<tool_call>\n{}\n</tool_call>", spoken=False)
WRITTEN = [
    dialogue("a", message("user", "I lost my keys."), message("assistant", "I am so sorry.")),
    dialogue("b", message("user", "I won it all."), CALL, message("assistant", "I am so sorry.")),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus")
    build(path, WRITTEN, shard_rows=1)
    return path


def test_dialogues_are_read_in_order_with_their_messages(corpus: Path) -> None:
    read = read_dialogues(str(corpus))
    assert [each.row["id"] for each in read] == ["a", "b"]
    assert [[spoken.message for spoken in each.messages] for each in read] == [row["messages"] for row in WRITTEN]


def test_spoken_messages_have_their_utterances_and_clips_and_others_none(corpus: Path) -> None:
    for each in read_dialogues(str(corpus)):
        for spoken in each.messages:
            text = spoken.message["text"]
            if spoken.message["spoken"]:
                assert (spoken.utterance["text"], spoken.audio) == (text, flac(text))
            else:
                assert (spoken.utterance, spoken.audio) == ({}, b"")


def test_some_dialogues_are_read_by_their_ids(corpus: Path) -> None:
    assert read_dialogues(str(corpus), {"b", "unknown"}) == read_dialogues(str(corpus))[1:]


def test_a_directory_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a finished data set"):
        read_dialogues(str(tmp_path))
