from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.voice_assistant import VoiceAssistant
from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage
from tests.data_pipeline.corpora.reading import conversations, read_all, rejects, write

TEXTS = ("split_name", "index", "round", "question", "answer", "answer_snac")
SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in TEXTS]
    + [pa.field("question_audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
)


def row(index: str | None, round: str | None, question: str | None, answer: str | None = "Yes.") -> dict[str, Any]:
    return {
        "split_name": "qa_assistant",
        "index": index,
        "round": round,
        "question": question,
        "question_audio": {"bytes": b"RIFF", "path": "a.wav"},
        "answer": answer,
        "answer_snac": "# 1 2 3 4 5 6 7",
    }


def write_files(root: Path, *tables: list[dict[str, Any]]) -> None:
    (root / "data").mkdir()
    for number, rows in enumerate(tables):
        path = root / f"data/train-{number:05d}-of-{len(tables):05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


def questions(conversation: Conversation) -> list[tuple[str, str, int | None]]:
    """Text, file and row of what the user says."""
    contents = [message.content[0] for message in conversation.messages if message.role == "user"]
    return [(content.text, content.audio.path[:16], content.audio.row) for content in contents if content.audio]


def test_a_row_is_a_conversation_with_a_spoken_question(tmp_path: Path) -> None:
    write_files(tmp_path, [row("12", "1", "Who are you?", "I am an assistant.")])
    clip = AudioReference(path="data/train-00000-of-00001.parquet", row=0, column="question_audio")
    assert read_all(VoiceAssistant(), tmp_path) == [
        Conversation(
            id="qa_assistant-12",
            corpus="voice_assistant",
            split="train",
            language="en",
            messages=(
                ConversationMessage(role="user", content=(Content(text="Who are you?", audio=clip),)),
                ConversationMessage(role="assistant", content=(Content(text="I am an assistant."),)),
            ),
        )
    ]


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_rows_without_a_round_are_conversations_by_themselves(tmp_path: Path, nothing: str | None) -> None:
    write_files(tmp_path, [row("1", nothing, "a"), row("2", nothing, "b")], [row("3", nothing, "c")])
    assert [len(found.messages) for found in conversations(VoiceAssistant(), tmp_path).values()] == [2, 2, 2]


def test_the_rounds_of_one_index_are_one_conversation_in_their_order(tmp_path: Path) -> None:
    write_files(tmp_path, [row("7", "2", "third"), row("7", "0", "first"), row("8", "0", "x"), row("7", "1", "second")])
    found = conversations(VoiceAssistant(), tmp_path)
    assert list(found) == ["qa_assistant-7", "qa_assistant-8"]
    assert questions(found["qa_assistant-7"]) == [
        ("first", "data/train-00000", 1),
        ("second", "data/train-00000", 3),
        ("third", "data/train-00000", 0),
    ]


def test_a_conversation_goes_on_in_the_next_files(tmp_path: Path) -> None:
    first, second, third = [row("1", "1", "a"), row("2", "1", "b")], [row("2", "2", "c")], [row("2", "3", "d")]
    write_files(tmp_path, first, second, [*third, row("3", "1", "e")])
    files, reader = CorpusFiles(str(tmp_path)), VoiceAssistant()
    ids = [[entry.id for entry in reader.read(files, part)] for part in reader.parts(files)]
    assert ids == [["qa_assistant-1", "qa_assistant-2"], [], ["qa_assistant-3"]]
    assert questions(conversations(reader, tmp_path)["qa_assistant-2"]) == [
        ("b", "data/train-00000", 1),
        ("c", "data/train-00001", 0),
        ("d", "data/train-00002", 0),
    ]


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    rows = [
        row("1", "1", "fine"),
        row("1", "2", "no answer", None),
        row("1", "3", "after it"),
        row("2", "1", "  "),
        row("3", "2", "without the first"),
        row("4", "1", "once"),
        row("4", "1", "twice"),
        row(None, "1", "no index"),
        row("5", None, "alone"),
        row("5", None, "alone again"),
        row("6", "first", "odd"),
    ]
    write_files(tmp_path, rows)
    found = conversations(VoiceAssistant(), tmp_path)
    assert {id: questions(entry)[0][0] for id, entry in found.items()} == {
        "qa_assistant-1": "fine",
        "qa_assistant-4": "once",
        "qa_assistant-5": "alone",
    }
    reasons = {id.rpartition(":")[2]: reason for id, reason in rejects(VoiceAssistant(), tmp_path).items()}
    assert reasons == {
        "1": "no text: the answer is empty",
        "2": "missing round: 2 before it is rejected",
        "3": "no text: the question is empty",
        "4": "missing round: found 2, expected the first to be 0 or 1",
        "6": "duplicate round: 1",
        "7": "no id: expected the columns split_name and index",
        "9": "duplicate id: qa_assistant-5 stands in more than one row, expected rounds",
        "10": "bad round: 'first', expected a whole number",
    }


def test_clips_are_not_read(tmp_path: Path) -> None:
    write_files(tmp_path, [row("1", "1", "a")])
    path = tmp_path / "data/train-00000-of-00001.parquet"
    group = pq.read_metadata(path).row_group(0)
    chunks = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    data = bytearray(path.read_bytes())
    first = chunks["question_audio.bytes"].dictionary_page_offset
    size = chunks["question_audio.bytes"].total_compressed_size
    data[first : first + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(OSError, match="page header"):
        pq.read_table(path)
    assert list(conversations(VoiceAssistant(), tmp_path)) == ["qa_assistant-1"]


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected the Parquet files of VoiceAssistant-400K"):
        VoiceAssistant().parts(CorpusFiles(str(tmp_path)))
    pq.write_table(pa.table({"question": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"columns \['split_name', 'index', 'round', 'answer', 'question_audio'\]"):
        read_all(VoiceAssistant(), tmp_path)
    write(tmp_path / "a.parquet", b"PAR1")
    with pytest.raises(CorpusError, match="expected a Parquet file"):
        read_all(VoiceAssistant(), tmp_path)
