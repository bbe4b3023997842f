import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.records import EMOTIONS, AudioReference, Reject, Utterance
from tests.data_pipeline.corpora.reading import read_utterances


def write(root: Path, *rows: dict[str, Any] | bytes, name: str = "train.jsonl", end: bytes = b"\n") -> None:
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    (root / name).write_bytes(end.join([*lines, b""]))
    (root / "clips").mkdir(exist_ok=True)
    for clip in ("clips/a.wav", "clips/录音 é.wav", "clips.zip"):
        (root / clip).touch()


def test_a_row_for_speech_recognition_is_an_utterance_with_text(tmp_path: Path) -> None:
    write(tmp_path, {"audio": "clips/a.wav", "text": "Hello."}, name="asr_train.jsonl")
    assert read_utterances(Manifest(), tmp_path) == (
        [
            Utterance(
                id="asr_train:1",
                corpus="manifest",
                split="asr_train",
                language="en",
                audio=AudioReference(path="clips/a.wav"),
                text="Hello.",
            )
        ],
        {},
    )


@pytest.mark.parametrize("field", ["label", "emotion"])
@pytest.mark.parametrize(
    ("label", "expected"),
    [("surprise", "surprised"), ("Happy", "happy"), ("ang", "angry"), ("exc", "happy"), ("neutral", "neutral")],
)
def test_labels_are_mapped_and_kept(tmp_path: Path, field: str, label: str, expected: str) -> None:
    write(tmp_path, {"audio": "clips/a.wav", "text": "Hello.", field: label})
    (utterance,), _ = read_utterances(Manifest(), tmp_path)
    assert (utterance.emotion, utterance.original_emotion) == (expected, label)


@pytest.mark.parametrize("label", EMOTIONS)
def test_every_label_of_prepared_data_is_mapped_to_itself(tmp_path: Path, label: str) -> None:
    write(tmp_path, {"audio": "clips/a.wav", "label": label})
    assert read_utterances(Manifest(), tmp_path)[0][0].emotion == label


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ("clips/录音 é.wav", AudioReference(path="clips/录音 é.wav")),
        ("clips/a.wav:100:200", AudioReference(path="clips/a.wav", start=100, length=200, in_samples=True)),
        ("clips.zip:30:2000", AudioReference(path="clips.zip", offset=30, size=2000)),
        ("clips.zip:b/c.wav", AudioReference(path="clips.zip", member="b/c.wav")),
    ],
)
def test_every_form_of_audio_is_read(tmp_path: Path, audio: str, expected: AudioReference) -> None:
    write(tmp_path, {"audio": audio, "text": "Hello."})
    assert read_utterances(Manifest(), tmp_path)[0][0].audio == expected


@pytest.mark.parametrize("protocol", ["", "file://"])
def test_absolute_paths_below_the_root_are_accepted(tmp_path: Path, protocol: str) -> None:
    write(tmp_path, {"audio": f"{tmp_path}/clips/a.wav:100:200", "text": "Hello."})
    write(tmp_path, {"audio": f"{tmp_path}/../a.wav", "text": "Out."}, name="out.jsonl")
    files, reader = CorpusFiles(f"{protocol}{tmp_path}"), Manifest()
    (reject,), (utterance,) = (list(reader.read(files, part)) for part in reader.parts(files))
    assert isinstance(utterance, Utterance)
    assert utterance.audio == AudioReference(path="clips/a.wav", start=100, length=200, in_samples=True)
    assert isinstance(reject, Reject)
    assert reject.reason.startswith("path outside the corpus: ")


def test_bad_rows_are_rejected_singly(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"audio": "clips/a.wav", "text": "First."},
        {"audio": "/etc/passwd", "text": "Out."},
        {"audio": "../clips/a.wav:0:9", "text": "Out."},
        {"audio": "clips/gone.wav", "text": "Gone."},
        {"audio": "gone.zip:0:9", "text": "Gone."},
        {"audio": "clips/a.wav:0", "text": "Odd."},
        {"audio": ["clips/a.wav"], "text": "Odd."},
        {"audio": "", "text": "None."},
        {"text": "None."},
        {"audio": "clips/a.wav", "text": None, "label": ""},
        {"audio": "clips/a.wav", "text": {"a": 1}},
        {"audio": "clips/a.wav", "label": "hungry"},
        {"audio": "clips/a.wav", "label": 3},
        b'{"audio": "clips/a.wav", "te',
        b'"clips/a.wav"',
        b'{"audio": "clips/a.wav", "text": "caf\xe9"}',
        b'{"audio": "clips/a.wav", "text": "\\ud83d"}',
        b"[" * 100_000,
        {"audio": "clips/a.wav", "text": "Last."},
    )
    utterances, rejects = read_utterances(Manifest(), tmp_path)
    assert [utterance.text for utterance in utterances] == ["First.", "Last."]
    assert [reason.partition(": ")[0] for reason in rejects.values()] == [
        "path outside the corpus",
        "path outside the corpus",
        "missing file",
        "missing file",
        "bad audio string",
        "bad row",
        "no audio",
        "no audio",
        "no text",
        "bad row",
        "unknown emotion",
        "bad row",
        "bad row",
        "bad row",
        "bad encoding",
        "bad encoding",
        "bad row",
    ]
    assert list(rejects) == [f"train:{line}" for line in range(2, 19)]


def test_windows_line_ends_blank_lines_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    row = {"audio": "clips/a.wav", "text": "Hello."}
    write(tmp_path, b"\xef\xbb\xbf" + json.dumps(row).encode(), b"", row, end=b"\r\n")
    utterances, rejects = read_utterances(Manifest(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["train:1", "train:3"]
    assert not rejects


def test_ids_of_several_manifests_are_unique(tmp_path: Path) -> None:
    for name in ("dev.jsonl", "train.jsonl"):
        write(tmp_path, {"audio": "clips/a.wav", "text": "Hello."}, name=name)
    utterances, _ = read_utterances(Manifest(language="zh"), tmp_path)
    assert [(u.id, u.split, u.language) for u in utterances] == [("dev:1", "dev", "zh"), ("train:1", "train", "zh")]


def test_a_root_without_manifests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected manifests \*\.jsonl"):
        read_utterances(Manifest(), tmp_path)
