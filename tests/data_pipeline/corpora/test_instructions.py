import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage
from tests.data_pipeline.corpora.reading import conversations, read_all, rejects, write


def item(text: str = "", audio: str = "", speech_units: str = "", spk_emb: str = "") -> dict[str, Any]:
    return {"text": text, "audio": audio, "speech_units": speech_units, "spk_emb": spk_emb}


def message(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def write_manifest(root: Path, *rows: list[dict[str, Any]], name: str = "train.jsonl") -> None:
    write(root / name, "".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows))


def contents(root: Path, *messages: dict[str, Any]) -> list[Content]:
    """What is read of the messages of one row."""
    write_manifest(root, list(messages))
    (found,) = conversations(Instructions(), root).values()
    return [content for entry in found.messages for content in entry.content]


def test_the_example_of_the_format_is_read(tmp_path: Path) -> None:
    user = message("user", item("continue the following sentence"), item(audio="audio/a.wav"))
    write_manifest(tmp_path, [user, message("assistant", item("hello", speech_units="<|audio_0|><|audio_1|>"))])
    write(tmp_path / "audio/a.wav")
    assert read_all(Instructions(), tmp_path) == [
        Conversation(
            id="train-00000001",
            corpus="instructions",
            split="train",
            language="en",
            messages=(
                ConversationMessage(
                    role="user",
                    content=(
                        Content(text="continue the following sentence"),
                        Content(audio=AudioReference(path="audio/a.wav")),
                    ),
                ),
                ConversationMessage(role="assistant", content=(Content(text="hello", units=(0, 1)),)),
            ),
        )
    ]


def test_many_turns_keep_their_order(tmp_path: Path) -> None:
    roles = ("system", "user", "assistant", "user", "assistant")
    found = contents(tmp_path, *(message(role, item(f"{number} 你好")) for number, role in enumerate(roles)))
    assert [content.text for content in found] == [f"{number} 你好" for number in range(5)]


def test_empty_content_beside_other_content_is_kept(tmp_path: Path) -> None:
    found = contents(tmp_path, message("user", item(), item("Hi.")), message("assistant", item("Yes.")))
    assert [content.text for content in found] == ["", "Hi.", "Yes."]


def test_a_clip_may_be_a_segment_or_a_member_of_an_archive(tmp_path: Path) -> None:
    write(tmp_path / "long.flac")
    with zipfile.ZipFile(tmp_path / "clips.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.wav", b"RIFF")
    user = message("user", item(audio="long.flac:16000:8000"), item(audio="clips.zip:a.wav"))
    segment, member, _ = contents(tmp_path, user, message("assistant", item("yes")))
    assert segment.audio == AudioReference(path="long.flac", start=16_000, length=8_000, in_samples=True)
    assert member.audio == AudioReference(path="clips.zip", member="a.wav")


def test_absolute_paths_below_the_root_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data/wavs/a.wav")
    user = message("user", item(audio=str(tmp_path / "data/wavs/a.wav")))
    write_manifest(tmp_path / "data", [user, message("assistant", item("yes"))])
    monkeypatch.chdir(tmp_path)
    for root in (f"{tmp_path}/data", "data", f"file://{tmp_path}/data"):
        files = CorpusFiles(root)
        (found,) = Instructions().read(files, "train.jsonl")
        assert isinstance(found, Conversation)
        assert found.messages[0].content[0].audio == AudioReference(path="wavs/a.wav")


def spoken(text: str) -> list[dict[str, Any]]:
    return [message("user", item("Hi.")), message("assistant", item("Yes.", speech_units="<|audio_5|>", spk_emb=text))]


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4)])
def test_a_speaker_vector_is_read_from_a_numpy_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    vector = np.array([0.5, -1.0, 2.0, 0.25], dtype=np.float32)
    (tmp_path / "speakers").mkdir()
    np.save(tmp_path / "speakers/s.npy", vector.reshape(shape))
    _, reply = contents(tmp_path, *spoken("speakers/s.npy"))
    assert reply.speaker_embedding == (0.5, -1.0, 2.0, 0.25)
    assert reply.units == (5,)


@pytest.mark.parametrize("text", ["0.5 -1 2e-1", "0.5,-1,0.2", "[0.5, -1.0, 0.2]"])
def test_a_speaker_vector_may_be_written_out(tmp_path: Path, text: str) -> None:
    assert contents(tmp_path, *spoken(text))[1].speaker_embedding == (0.5, -1.0, 0.2)


def test_a_key_for_the_speaker_may_be_missing(tmp_path: Path) -> None:
    short = item("Hi.")
    del short["spk_emb"]
    assert contents(tmp_path, message("user", short), message("assistant", short))[0] == Content(text="Hi.")


def vector_file(array: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


USER, REPLY = message("user", item("Hi.")), message("assistant", item("Yes."))
BAD: dict[str, list[Any]] = {
    "missing file: gone.wav": [message("user", item(audio="gone.wav")), REPLY],
    "missing file: gone.zip": [message("user", item(audio="gone.zip:a.wav")), REPLY],
    "missing file: gone.npy": spoken("gone.npy"),
    "path outside the corpus: '/elsewhere/a.wav'": [message("user", item(audio="/elsewhere/a.wav")), REPLY],
    "path outside the corpus: '../a.npy'": spoken("../a.npy"),
    "bad audio string: ": [message("user", item(audio="clips.zip")), REPLY],
    "bad units: '<|audio_1|>audio_2'": [USER, message("assistant", item("Yes.", speech_units="<|audio_1|>audio_2"))],
    "bad units: '1 2 3'": [USER, message("assistant", item("Yes.", speech_units="1 2 3"))],
    "bad units: the user has speech_units": [message("user", item("Hi.", speech_units="<|audio_1|>")), REPLY],
    "bad speaker vector: matrix.npy has shape (2, 2)": spoken("matrix.npy"),
    "bad speaker vector: nan.npy holds": spoken("nan.npy"),
    "bad speaker vector: text.npy: expected a NumPy file": spoken("text.npy"),
    "bad speaker vector: 'nan 1' holds": spoken("nan 1"),
    "empty message: all content of the user is empty": [message("user", item()), REPLY],
    "no reply: the last message is the user's": [USER, REPLY, USER],
    "bad order: ": [USER, message("system", item("Be kind.")), REPLY],
    "bad role: ": [message("tool", item("Hi.")), REPLY],
    "bad row: expected the key messages": [],
    "bad row: content 'Hi.'": [{"role": "user", "content": ["Hi."]}, REPLY],
    "bad row: content is 'Hi.'": [{"role": "user", "content": "Hi."}, REPLY],
    "bad row: content is '[]'": [{"role": "user", "content": []}, REPLY],
    "bad row: content \"{'text': 'Hi.'}\"": [message("user", {"text": "Hi."}), REPLY],
    "bad row: content \"{'text': None": [message("user", item() | {"text": None}), REPLY],
    "bad row: spk_emb is '[1.0]'": [message("user", item("Hi.") | {"spk_emb": [1.0]}), REPLY],
}


@pytest.mark.parametrize(("reason", "row"), BAD.items(), ids=BAD)
def test_a_bad_row_is_rejected_alone(tmp_path: Path, reason: str, row: list[Any]) -> None:
    write(tmp_path / "matrix.npy", vector_file(np.ones((2, 2))))
    write(tmp_path / "nan.npy", vector_file(np.array([np.nan, 1])))
    write(tmp_path / "text.npy", b"no vector")
    write_manifest(tmp_path, [USER, REPLY], row, [USER, REPLY])
    assert list(conversations(Instructions(), tmp_path)) == ["train-00000001", "train-00000003"]
    (found,) = rejects(Instructions(), tmp_path).items()
    assert found[0] == "train-00000002"
    assert found[1].startswith(reason)


def test_a_line_that_is_no_object_is_rejected_alone(tmp_path: Path) -> None:
    good = json.dumps({"messages": [USER, REPLY]})
    write(tmp_path / "train.jsonl", f"{good}\n\n{{\n{good}\n")
    assert list(conversations(Instructions(), tmp_path)) == ["train-00000001", "train-00000004"]
    assert list(rejects(Instructions(), tmp_path)) == ["train-00000003"]


def test_pickled_vectors_are_never_loaded(tmp_path: Path) -> None:
    write(tmp_path / "speaker.npy", vector_file(np.array([{"a": 1}], dtype=object)))
    write_manifest(tmp_path, spoken("speaker.npy"))
    assert "expected a NumPy file" in rejects(Instructions(), tmp_path)["train-00000001"]


def test_manifests_are_chosen_by_a_pattern_and_are_splits(tmp_path: Path) -> None:
    for name in ("stage1/asr.jsonl", "stage1/ser.jsonl", "other.jsonl"):
        write_manifest(tmp_path, [USER, REPLY], name=name)
    found = conversations(Instructions(manifests="stage1/*.jsonl", language="zh"), tmp_path)
    assert {id: (entry.split, entry.language) for id, entry in found.items()} == {
        "stage1/asr-00000001": ("stage1/asr", "zh"),
        "stage1/ser-00000001": ("stage1/ser", "zh"),
    }


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected manifests in JSON Lines that match '\*\.jsonl'"):
        Instructions().parts(CorpusFiles(str(tmp_path)))


def test_lone_surrogates_and_nuls_reject_their_row_alone(tmp_path: Path) -> None:
    reply = message("assistant", item("Yes."))
    rows = [
        [message("user", item("a\ud83d")), reply],
        [message("user", item(audio="\ud83d.wav")), reply],
        [message("user", item("a\0b")), reply],
        [message("user", item("a\ufffdb")), reply],
        [message("user", item("a", spk_emb="\ud83d.npy")), reply],
        [message("user", item("Good.")), reply],
    ]
    write(tmp_path / "train.jsonl", "".join(json.dumps({"messages": row}) + "\n" for row in rows))
    assert list(conversations(Instructions(), tmp_path)) == ["train-00000006"]
    reasons = rejects(Instructions(), tmp_path).values()
    assert len(reasons) == 5
    assert all(reason.startswith("bad encoding: ") and reason.encode() for reason in reasons)


def test_a_unit_with_thousands_of_digits_is_rejected(tmp_path: Path) -> None:
    write_manifest(
        tmp_path, [message("user", item("a")), message("assistant", item("b", speech_units=f"<|audio_{'1' * 5000}|>"))]
    )
    assert rejects(Instructions(), tmp_path)["train-00000001"].startswith("bad units: ")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("voices", "missing file: voices"), ("a.npz", "bad speaker vector: "), ("cut.npy", "bad speaker vector: ")],
)
def test_a_speaker_vector_that_is_no_array_is_rejected(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "voices").mkdir()
    np.savez(tmp_path / "a.npz", a=np.zeros(3, np.float32))
    stored = io.BytesIO()
    np.save(stored, np.zeros(3, np.float32))
    write(tmp_path / "cut.npy", stored.getvalue().replace(b"(3,), }", b"(3,     "))
    write_manifest(tmp_path, [message("user", item("a", spk_emb=path)), message("assistant", item("b"))])
    assert rejects(Instructions(), tmp_path)["train-00000001"].startswith(reason)


def test_a_pattern_that_leads_out_of_the_root_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "other.jsonl")
    (tmp_path / "root").mkdir()
    with pytest.raises(CorpusError, match="leads out of the corpus"):
        Instructions(manifests="../*.jsonl").parts(CorpusFiles(str(tmp_path / "root")))


def test_labels_of_a_speaker_are_read_where_a_row_has_them(tmp_path: Path) -> None:
    labels = {"emotion": "sad", "gender": "female", "age": "elderly"}
    reply = message("assistant", item("hello"))
    write_manifest(tmp_path, [message("user", item("good day")) | labels, reply])
    (found,) = conversations(Instructions(), tmp_path).values()
    user, assistant = found.messages
    assert (user.emotion, user.gender, user.age) == ("sad", "female", "elderly")
    assert (assistant.emotion, assistant.gender, assistant.age) == ("", "", "")
    write_manifest(tmp_path, [message("user", item("good day")) | {"emotion": "blue"}, reply])
    (reason,) = rejects(Instructions(), tmp_path).values()
    assert reason.startswith("unknown emotion: 'blue', expected one of neutral, happy")


def test_a_row_may_state_its_id_and_language(tmp_path: Path) -> None:
    messages = [message("user", item("good day")), message("assistant", item("hello"))]
    rows = [
        {"messages": messages, "id": "a", "language": "zh"},
        {"messages": messages},
        {"messages": messages, "id": 1},
    ]
    write(tmp_path / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = conversations(Instructions(language="en"), tmp_path)
    assert {id: entry.language for id, entry in found.items()} == {"a": "zh", "train-00000002": "en"}
    assert rejects(Instructions(), tmp_path) == {"train-00000003": "bad row: id is '1', expected a string"}
