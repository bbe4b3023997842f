from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.dialogues import LABELS, Dialogues
from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage
from data_pipeline.schema import DIALOGUE, UTTERANCE
from data_pipeline.synthesis.voices import FEELINGS
from tests.data_pipeline.corpora.reading import conversations, read_all, rejects


def row(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "user_text": "I am afraid of it.",
        "user_audio": b"fLaC",
        "user_feeling": "afraid",
        "user_voice": "en-us+f3",
        "reply_text": "I am here.",
        "reply_audio": b"fLaC",
    } | changes


def write_shards(root: Path, *shards: list[dict[str, Any]]) -> None:
    for number, rows in enumerate(shards):
        path = root / f"{number:05d}-of-{len(shards):05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=DIALOGUE), path)


def test_an_exchange_keeps_its_texts_clips_and_emotion(tmp_path: Path) -> None:
    write_shards(tmp_path, [row("turn-000000"), row("turn-000001", user_feeling="happy", user_voice="en+m8")])
    path = "00000-of-00001.parquet"
    first, second = read_all(Dialogues(), tmp_path)
    assert first == Conversation(
        id="turn-000000",
        corpus="dialogues",
        split="all",
        language="en",
        messages=(
            ConversationMessage(
                role="user",
                content=(
                    Content(text="I am afraid of it.", audio=AudioReference(path=path, row=0, column="user_audio")),
                ),
                gender="female",
                emotion="fearful",
                original_emotion="afraid",
            ),
            ConversationMessage(
                role="assistant",
                content=(Content(text="I am here.", audio=AudioReference(path=path, row=0, column="reply_audio")),),
            ),
        ),
    )
    assert isinstance(second, Conversation)
    assert (second.messages[0].emotion, second.messages[0].gender) == ("happy", "male")
    assert second.messages[1].content[0].audio == AudioReference(path=path, row=1, column="reply_audio")


def test_every_feeling_of_the_synthesis_is_mapped() -> None:
    assert set(LABELS) == set(FEELINGS)


def test_the_gender_of_a_voice_with_the_name_of_a_person_is_unknown(tmp_path: Path) -> None:
    write_shards(tmp_path, [row("a", user_voice="en-us+linda")])
    assert conversations(Dialogues(), tmp_path)["a"].messages[0].gender == ""


def test_every_shard_is_a_part(tmp_path: Path) -> None:
    write_shards(tmp_path, [row("a")], [], [row("b")])
    assert list(conversations(Dialogues(), tmp_path)) == ["a", "b"]
    assert len(Dialogues().parts(CorpusFiles(str(tmp_path)))) == 3


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    rows = [row("a"), row("b", user_feeling="bored"), row("c", reply_text=" "), row("a"), row("")]
    write_shards(tmp_path, rows)
    assert list(conversations(Dialogues(), tmp_path)) == ["a"]
    kinds = {id: reason.partition(":")[0] for id, reason in rejects(Dialogues(), tmp_path).items()}
    assert kinds == {
        "b": "unknown emotion",
        "c": "no text",
        "a": "duplicate id",
        "00000-of-00001.parquet:4": "no text",
    }


def test_a_data_set_that_lacks_a_shard_is_an_error(tmp_path: Path) -> None:
    write_shards(tmp_path, [row("a")], [row("b")])
    (tmp_path / "00000-of-00002.parquet").unlink()
    with pytest.raises(CorpusError, match=r"expected all shards .* found 1: 00001-of-00002\.parquet"):
        Dialogues().parts(CorpusFiles(str(tmp_path)))


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected all shards of a finished data set"):
        Dialogues().parts(CorpusFiles(str(tmp_path)))
    pq.write_table(UTTERANCE.empty_table(), tmp_path / "00000-of-00001.parquet")
    with pytest.raises(CorpusError, match=r"columns \['user_text', .* are missing"):
        read_all(Dialogues(), tmp_path)
