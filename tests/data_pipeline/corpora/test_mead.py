from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.mead import LABELS, Mead
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_all, rejects, utterances, write


def test_an_utterance_has_its_emotion_and_the_gender_of_its_speaker(tmp_path: Path) -> None:
    write(tmp_path / "M003/audio/contempt/level_2/001.m4a")
    assert read_all(Mead(), tmp_path) == [
        Utterance(
            id="M003_contempt_level_2_001",
            corpus="mead",
            split="all",
            language="en",
            audio=AudioReference(path="M003/audio/contempt/level_2/001.m4a"),
            speaker="M003",
            gender="male",
            emotion="contemptuous",
            original_emotion="contempt",
        )
    ]
    write(tmp_path / "W009/audio/neutral/level_1/001.m4a")
    assert utterances(Mead(), tmp_path)["W009_neutral_level_1_001"].gender == "female"


def test_every_emotion_and_level_has_ids_of_its_own(tmp_path: Path) -> None:
    for label in LABELS:
        for level in (1,) if label == "neutral" else (1, 2, 3):
            write(tmp_path / f"MEAD/W011/audio/{label}/level_{level}/001.m4a")
    found = utterances(Mead(), tmp_path)
    assert len(found) == 22
    assert {entry.emotion for entry in found.values()} == set(LABELS.values())


def test_an_unknown_emotion_is_rejected_clip_by_clip(tmp_path: Path) -> None:
    write(tmp_path / "M003/audio/happy/level_1/001.m4a")
    write(tmp_path / "M003/audio/bored/level_1/001.m4a")
    write(tmp_path / "M003/audio/bored/level_1/002.m4a")
    assert list(rejects(Mead(), tmp_path)) == ["M003_bored_level_1_001", "M003_bored_level_1_002"]
    assert list(utterances(Mead(), tmp_path)) == ["M003_happy_level_1_001"]


def test_other_files_are_no_clips(tmp_path: Path) -> None:
    write(tmp_path / "M003/audio/happy/level_1/001.m4a")
    write(tmp_path / "M003/audio/happy/level_1/._001.m4a")
    write(tmp_path / "M003/audio/happy/level_1/.DS_Store")
    write(tmp_path / "M003/video/front/happy/level_1/001.mp4")
    write(tmp_path / "M005/video/front/happy/level_1/001.mp4")
    write(tmp_path / "README.txt")
    assert [entry.id for entry in read_all(Mead(), tmp_path)] == ["M003_happy_level_1_001"]


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path / "003/happy/001.m4a")
    with pytest.raises(CorpusError, match="expected directories of MEAD"):
        Mead().parts(CorpusFiles(str(tmp_path)))


def test_a_file_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    write(tmp_path / "M003/audio/angry/level_1/\udcff.m4a")
    found = rejects(Mead(), tmp_path)
    assert list(found) == ["M003_angry_level_1_\\udcff"]
    assert all(reason.startswith("bad encoding: id is") for reason in found.values())
