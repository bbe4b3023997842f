import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora import CorpusError
from data_pipeline.corpora.speech import Speech
from data_pipeline.records import AudioReference, Utterance
from opens2s_core.training.voice.corpus import Utterance as SpokenSentence
from opens2s_core.training.voice.corpus import write_manifest
from tests.data_pipeline.corpora.reading import read_utterances, utterances, write

ROW = SpokenSentence(
    id="utterance-000000",
    file="audio/utterance-000000.flac",
    text="The cat is asleep.",
    voice="espeak:en-us+f4@child",
    emotion="fearful",
    split="train",
    samples=100,
    rate=22050,
)


def corpus(root: Path, **changes: Any) -> Path:
    """Of one row, with ``changes``."""
    write(root / ROW.file)
    write_manifest(root, [ROW])
    row = json.loads((root / "manifest.jsonl").read_bytes())
    write(root / "manifest.jsonl", json.dumps(row | changes))
    return root


def test_a_sentence_is_an_utterance_with_its_emotion(tmp_path: Path) -> None:
    assert read_utterances(Speech(), corpus(tmp_path)) == (
        [
            Utterance(
                id="utterance-000000",
                corpus="speech",
                split="train",
                language="en",
                audio=AudioReference(path="audio/utterance-000000.flac"),
                text="The cat is asleep.",
                speaker="espeak:en-us+f4@child",
                gender="female",
                age="child",
                emotion="fearful",
                original_emotion="fearful",
            )
        ],
        {},
    )


def test_other_splits_are_not_read(tmp_path: Path) -> None:
    corpus(tmp_path, split="held_out")
    assert read_utterances(Speech(), tmp_path) == ([], {})
    assert list(utterances(Speech(split="held_out"), tmp_path)) == ["utterance-000000"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"emotion": "bored"}, "unknown emotion: 'bored', expected one of"),
        ({"file": "audio/other.flac"}, "missing file: audio/other.flac"),
        ({"file": "../other.flac"}, "path outside the corpus"),
        ({"text": ""}, "no text"),
        ({"split": None}, "no split"),
    ],
)
def test_a_bad_row_is_rejected_alone(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    found, rejected = read_utterances(Speech(), corpus(tmp_path, **changes))
    assert not found
    assert rejected["utterance-000000"].startswith(reason)


def test_a_line_that_is_no_object_is_rejected_by_its_number(tmp_path: Path) -> None:
    with (corpus(tmp_path) / "manifest.jsonl").open("a") as manifest:
        manifest.write("\n[1]\n")
    found, rejected = read_utterances(Speech(), tmp_path)
    assert len(found) == 1
    assert rejected["manifest.jsonl:2"].startswith("bad row")


def test_a_directory_without_a_manifest_is_another_layout(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected manifest\.jsonl"):
        utterances(Speech(), tmp_path)
