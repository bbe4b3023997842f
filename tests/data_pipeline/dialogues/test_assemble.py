import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora.audio_strings import parse_audio
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dataset import read_rows
from data_pipeline.dataset.layout import file_of
from data_pipeline.dataset.reader import read_rejects
from data_pipeline.dialogues.assemble import Part, plan_corpus
from data_pipeline.dialogues.layout import DIALOGUES, ROWS, SPEECH, TRAIN
from data_pipeline.dialogues.schema import DIALOGUE, SPOKEN
from tests.data_pipeline.corpora.reading import conversations
from tests.data_pipeline.dialogues.memory import build, dialogue, flac, lines, message, noise

SHARD = "00000-of-00001"
PROMPT = message("system", "Be calm.", spoken=False)
CALL = message("assistant", "<tool_call>\n{}\n</tool_call>", spoken=False)
LOST, SORRY, THANKS, HERE = "I lost my keys.", "I am so sorry.", "Thank you very much.", "I am here for you."
DIALOGUES_OF_ALL_KINDS = [
    dialogue("a", message("user", LOST), message("assistant", SORRY)),
    dialogue(
        "b",
        PROMPT,
        message("user", LOST),
        message("assistant", SORRY),
        message("user", THANKS),
        message("assistant", HERE),
    ),
    dialogue("c", message("user", LOST), CALL, message("assistant", HERE), kind="tool", emotion="neutral"),
]


def lines_of(corpus: Path) -> list[dict[str, Any]]:
    return lines(corpus / DIALOGUES / file_of(SHARD, ROWS))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus")
    build(path, DIALOGUES_OF_ALL_KINDS)
    return path


def rows(corpus: Path, name: str = DIALOGUES) -> list[dict[str, Any]]:
    return list(read_rows(str(corpus / name), DIALOGUE if name == DIALOGUES else SPOKEN))


def test_rows_are_the_dialogues_with_the_labels_of_the_voice(corpus: Path) -> None:
    for row, written in zip(rows(corpus), DIALOGUES_OF_ALL_KINDS, strict=True):
        assert {name: row[name] for name in written} == written | {"age": "adult"}


def test_rows_name_the_utterance_of_each_spoken_message(corpus: Path) -> None:
    texts = {row["id"]: row["text"] for row in rows(corpus, SPEECH)} | {"": ""}
    for row in rows(corpus):
        spoken = [message["text"] if message["spoken"] else "" for message in row["messages"]]
        assert [texts[id] for id in row["utterances"]] == spoken


def test_seconds_are_those_of_all_clips(corpus: Path) -> None:
    assert rows(corpus)[0]["seconds"] == (len(noise(LOST)) + len(noise(SORRY))) / 8000


def test_strings_of_clips_are_read_as_the_clips(corpus: Path) -> None:
    for line, written in zip(lines_of(corpus), DIALOGUES_OF_ALL_KINDS, strict=True):
        for found, message_ in zip(line["messages"], written["messages"], strict=True):
            (content,) = found["content"]
            assert content["text"] == message_["text"]
            if not message_["spoken"]:
                assert (content["audio"], content["speech_units"]) == ("", "")
                continue
            clip = parse_audio(content["audio"])
            assert clip.offset is not None
            assert clip.size is not None
            assert (corpus / clip.path).read_bytes()[clip.offset : clip.offset + clip.size] == flac(message_["text"])


def test_users_have_labels_of_the_voice_and_replies_tones_and_units(corpus: Path) -> None:
    system, user, reply, *_ = lines_of(corpus)[1]["messages"]
    assert set(system) == {"role", "content"}
    assert {name: user[name] for name in user if name != "content"} == {
        "role": "user",
        "emotion": "sad",
        "gender": "female",
        "age": "adult",
    }
    assert user["content"][0]["speech_units"] == ""
    assert {name: reply[name] for name in reply if name != "content"} == {"role": "assistant", "tone": "warm"}
    assert reply["content"][0]["speech_units"] == f"<|audio_{2 * len(noise(SORRY))}|>"


def test_lines_have_their_provenance(corpus: Path) -> None:
    (line, *_) = lines_of(corpus)
    assert {name: line[name] for name in ("id", "kind", "topic", "language")} == {
        "id": "a",
        "kind": "empathetic",
        "topic": "work",
        "language": "en",
    }
    assert line["provenance"] == {
        "writer": "memory-1",
        "speakers": ["noise-1", "noise-2"],
        "voices": ["reply voice", "user voice"],
        "recognisers": [],
    }


def test_the_reader_of_instructions_reads_the_lines(corpus: Path) -> None:
    (corpus / TRAIN).write_bytes((corpus / DIALOGUES / file_of(SHARD, ROWS)).read_bytes())
    read = conversations(Instructions(), corpus)
    assert list(read) == ["a", "b", "c"]
    units = [content.units for message in read["a"].messages for content in message.content]
    assert units == [(), (2 * len(noise(SORRY)),)]


def test_a_dialogue_with_a_rejected_clip_is_rejected_with_its_reason(tmp_path: Path) -> None:
    bad = dialogue("bad", message("user", LOST), message("assistant", "Hurry up now."))
    report = build(tmp_path, [DIALOGUES_OF_ALL_KINDS[0], bad])
    assert (report.rows_in, report.rows_out, report.rejected) == (2, 1, {"speech: clip too short": 1})
    assert [row["id"] for row in rows(tmp_path)] == [line["id"] for line in lines_of(tmp_path)] == ["a"]
    assert read_rejects(str(tmp_path / DIALOGUES), SHARD).to_pylist() == [
        {"id": "bad", "step": "speech", "reason": "clip too short: 0.10 s, expected at least 0.3"}
    ]


def test_the_same_dialogues_give_the_same_rows_and_lines(corpus: Path, tmp_path: Path) -> None:
    build(tmp_path, DIALOGUES_OF_ALL_KINDS)
    assert rows(tmp_path) == rows(corpus)
    assert lines_of(tmp_path) == lines_of(corpus)


def test_a_plan_depends_on_texts_and_speech() -> None:
    part = Part(shard=SHARD, utterances={"a": (("id", SHARD), ("", ""))})
    (one,), (other,) = plan_corpus([part], ["texts", "speech"]), plan_corpus([part], ["texts", "other speech"])
    assert json.loads(one.inputs) == {"shard": SHARD, "utterances": {"a": [["id", SHARD], ["", ""]]}}
    assert (one.rows, one.inputs) == (1, other.inputs)
    assert one.fingerprint != other.fingerprint
