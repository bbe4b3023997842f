from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.records import AudioReference, Reject, Utterance


def write_corpus(root: Path) -> CorpusFiles:
    (root / "SPEAKERS.TXT").write_text(
        "; Speakers\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "103  | F | train-clean-100  | 25.19 | Karen Savage\n26   | M | train-clean-100  | 25.08 | Denny | Sayers\n"
    )
    first = root / "train-clean-100" / "103" / "1240"
    second = root / "train-clean-100" / "26" / "495"
    for directory in (first, second):
        directory.mkdir(parents=True)
    (first / "103-1240.trans.txt").write_text("103-1240-0000 CHAPTER ONE\n103-1240-0001 THAT HAD ITS SOURCE\n")
    (first / "103-1240-0000.flac").touch()
    (second / "26-495-0000.flac").touch()
    return CorpusFiles(str(root))


def read_all(files: CorpusFiles) -> list[Utterance | Reject]:
    reader = LibriSpeech()
    return [entry for part in reader.parts(files) for entry in reader.read(files, part)]


def test_utterances_carry_text_speaker_and_gender(tmp_path: Path) -> None:
    entries = read_all(write_corpus(tmp_path))
    assert entries[0] == Utterance(
        id="103-1240-0000",
        corpus="librispeech",
        split="train-clean-100",
        language="en",
        audio=AudioReference(path="train-clean-100/103/1240/103-1240-0000.flac"),
        text="CHAPTER ONE",
        sample_rate=16_000,
        speaker="103",
        gender="female",
    )


def test_missing_files_are_rejected_one_by_one(tmp_path: Path) -> None:
    _, missing_audio, missing_text = read_all(write_corpus(tmp_path))
    assert missing_audio == Reject(
        id="103-1240-0001",
        step="read",
        reason="missing file: train-clean-100/103/1240/103-1240-0001.flac",
    )
    assert isinstance(missing_text, Reject)
    assert missing_text.reason.startswith("no transcripts: expected")


def test_the_directory_above_is_accepted_as_root(tmp_path: Path) -> None:
    inner = tmp_path / "LibriSpeech"
    inner.mkdir()
    write_corpus(inner)
    first = read_all(CorpusFiles(str(tmp_path)))[0]
    assert isinstance(first, Utterance)
    assert first.audio.path.startswith("LibriSpeech/train-clean-100/")
    assert first.gender == "female"


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected directories of LibriSpeech"):
        LibriSpeech().parts(CorpusFiles(str(tmp_path)))
