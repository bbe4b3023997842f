import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.instructs2s import InstructS2S
from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage
from tests.data_pipeline.corpora.reading import conversations, read_all, rejects, write

FLAT = """
files: ["data/*.jsonl"]
id: conversation_id
round: turn
user_text: question
user_audio: question_wav
reply_text: answer
reply_audio: answer_wav
audio_directory: wavs
"""


def user(text: str, path: str) -> ConversationMessage:
    return ConversationMessage(role="user", content=(Content(text=text, audio=AudioReference(path=path)),))


def reply(text: str, path: str | None = None) -> ConversationMessage:
    audio = AudioReference(path=path) if path else None
    return ConversationMessage(role="assistant", content=(Content(text=text, audio=audio),))


def side(role: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"from": role, "text": text, **more}


def test_the_layout_assumed_is_read_without_a_mapping(tmp_path: Path) -> None:
    record = {
        "id": "helpful_base-0",
        "conversation": [
            side("human", "Hi, where is it?", speech="en/0_0.wav"),
            side("gpt", "It is here. ", unit=[6560, 12]),
            side("human", "And when?", speech="en/0_1.wav"),
            side("gpt", "Now.", speech="en/0_2.wav"),
        ],
    }
    write(tmp_path / "instruct_en_200k_data_cosy2.json", json.dumps([record], indent=4))
    for number in range(3):
        write(tmp_path / f"en/0_{number}.wav")
    assert read_all(InstructS2S(), tmp_path) == [
        Conversation(
            id="helpful_base-0",
            corpus="instructs2s",
            split="train",
            language="en",
            messages=(
                user("Hi, where is it?", "en/0_0.wav"),
                reply("It is here."),
                user("And when?", "en/0_1.wav"),
                reply("Now.", "en/0_2.wav"),
            ),
        )
    ]


def row(id: str, turn: object, question: str) -> dict[str, Any]:
    clips = {"question_wav": f"{question}.wav", "answer_wav": f"{question}_reply.wav"}
    return {"conversation_id": id, "turn": turn, "question": question, "answer": f"{question}!", **clips}


def write_flat(root: Path, *rows: dict[str, Any]) -> InstructS2S:
    write(root / "data/part.jsonl", "".join(json.dumps(line) + "\n" for line in rows))
    for line in rows:
        write(root / "wavs" / line["question_wav"])
        write(root / "wavs" / line["answer_wav"])
    return InstructS2S(mapping=str(write(root / "mapping.yaml", FLAT)))


def test_a_mapping_of_ones_own_replaces_it(tmp_path: Path) -> None:
    reader = write_flat(tmp_path, row("a", 2, "how"), row("a", 1, "what"), row("b", 1, "who"))
    found = conversations(reader, tmp_path)
    assert found["a"].messages == (
        user("what", "wavs/what.wav"),
        reply("what!", "wavs/what_reply.wav"),
        user("how", "wavs/how.wav"),
        reply("how!", "wavs/how_reply.wav"),
    )
    assert list(found) == ["a", "b"]


def test_rows_that_cannot_follow_are_rejected_one_by_one(tmp_path: Path) -> None:
    reader = write_flat(tmp_path, row("a", 1, "what"), row("a", 3, "how"), row("b", 1, "who"), row("a", 1, "why"))
    assert [len(found.messages) for found in conversations(reader, tmp_path).values()] == [2, 2]
    assert rejects(reader, tmp_path) == {
        "a-3": "missing round: found 3, expected 2",
        "a": "duplicate id: a is earlier in the same part",
    }


BAD = {
    "missing file": [side("human", "Hi.", speech="gone.wav"), side("gpt", "Yes.")],
    "path outside the corpus": [side("human", "Hi.", speech="../a.wav"), side("gpt", "Yes.")],
    "no audio": [side("human", "Hi."), side("gpt", "Yes.")],
    "no text": [side("human", "Hi.", speech="a.wav"), side("gpt", " ")],
    "bad role": [side("human", "Hi.", speech="a.wav"), side("someone", "Yes.")],
    "bad order": [side("gpt", "Yes."), side("human", "Hi.", speech="a.wav")],
    "bad row": [],
}


@pytest.mark.parametrize(("kind", "turns"), BAD.items(), ids=BAD)
def test_a_bad_conversation_is_rejected_alone(tmp_path: Path, kind: str, turns: list[dict[str, Any]]) -> None:
    good = [side("human", "Hi.", speech="a.wav"), side("gpt", "Yes.")]
    write(tmp_path / "a.wav")
    write(tmp_path / "en.json", json.dumps([{"id": "bad", "conversation": turns}, {"id": 1, "conversation": good}]))
    assert list(conversations(InstructS2S(), tmp_path)) == ["1"]
    assert rejects(InstructS2S(), tmp_path)["bad"].startswith(f"{kind}: ")


def test_rows_without_an_id_are_named_by_their_place(tmp_path: Path) -> None:
    write(tmp_path / "en.jsonl", '{"conversation": []}\nno json\n')
    found = rejects(InstructS2S(), tmp_path)
    assert found["en.jsonl:1"].startswith("no id: expected the key 'id', found ['conversation']")
    assert found["en.jsonl:2"].startswith("bad row: ")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [("id: a\nvoice: b\n", r"unknown keys \['voice'\]"), ("id: a\n", "missing keys"), ("a: [", "while parsing")],
)
def test_a_bad_mapping_is_an_error(tmp_path: Path, mapping: str, message: str) -> None:
    path = write(tmp_path / "mapping.yaml", mapping)
    with pytest.raises(CorpusError, match=message):
        InstructS2S(mapping=str(path)).parts(CorpusFiles(str(tmp_path)))


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected manifests of InstructS2S-200K: \*\.json or \*\.jsonl"):
        InstructS2S().parts(CorpusFiles(str(tmp_path)))
    with pytest.raises(CorpusError, match="is not a file: expected a mapping in YAML"):
        InstructS2S(mapping=str(tmp_path / "none.yaml")).parts(CorpusFiles(str(tmp_path)))
