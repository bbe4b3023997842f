from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.records import AudioReference, Reject, Utterance
from tests.data_pipeline.corpora.reading import read_all


def write_corpus(root: Path) -> None:
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


def test_utterances_carry_text_speaker_and_gender(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    entries = read_all(LibriSpeech(), tmp_path)
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
    write_corpus(tmp_path)
    _, missing_audio, missing_text = read_all(LibriSpeech(), tmp_path)
    assert missing_audio == Reject(
        id="103-1240-0001",
        step="read",
        reason="missing file: train-clean-100/103/1240/103-1240-0001.flac",
    )
    assert isinstance(missing_text, Reject)
    assert missing_text.reason.startswith("no transcript: expected")


def test_the_directory_above_is_accepted_as_root(tmp_path: Path) -> None:
    inner = tmp_path / "LibriSpeech"
    inner.mkdir()
    write_corpus(inner)
    first = read_all(LibriSpeech(), tmp_path)[0]
    assert isinstance(first, Utterance)
    assert first.audio.path.startswith("LibriSpeech/train-clean-100/")
    assert first.gender == "female"


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected directories of LibriSpeech"):
        LibriSpeech().parts(CorpusFiles(str(tmp_path)))


def test_bad_lines_are_rejected_singly(tmp_path: Path) -> None:
    chapter = tmp_path / "dev-clean" / "84" / "121123"
    chapter.mkdir(parents=True)
    for number in range(5):
        (chapter / f"84-121123-000{number}.flac").touch()
    (chapter / "84-121123.trans.txt").write_bytes(
        b"\xef\xbb\xbf84-121123-0000 GO\r\n84-121123-0000 AGAIN\r\n84-121123-0001\r\n"
        b"84-121123-0002 CAF\xc9\r\n84-121123-0003\tON\r\n"
    )
    (tmp_path / "dev-clean" / "84" / ".DS_Store").touch()
    files = CorpusFiles(str(tmp_path))
    entries = list(LibriSpeech().read(files, "dev-clean/84"))
    texts = {entry.id: entry.text for entry in entries if isinstance(entry, Utterance)}
    reasons = {entry.id: entry.reason.partition(": ")[0] for entry in entries if isinstance(entry, Reject)}
    assert texts == {"84-121123-0000": "GO", "84-121123-0003": "ON"}
    table = "dev-clean/84/121123/84-121123.trans.txt"
    assert reasons == {
        "84-121123-0001": "no text",
        "84-121123-0002": "no text",
        "84-121123-0004": "no text",
        f"{table}:2": "duplicate id",
        f"{table}:4": "bad encoding",
    }


def test_names_of_speakers_may_be_in_latin_1(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    table = tmp_path / "SPEAKERS.TXT"
    table.write_bytes(table.read_bytes().replace(b"Karen", "Karén".encode("latin-1")))
    first = read_all(LibriSpeech(), tmp_path)[0]
    assert isinstance(first, Utterance)
    assert first.gender == "female"


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with pytest.raises(CorpusError, match="no split 'train-clean-10'; there: train-clean-100"):
        LibriSpeech(splits=("train-clean-100", "train-clean-10")).parts(CorpusFiles(str(tmp_path)))


def test_files_of_macos_are_skipped(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    before = read_all(LibriSpeech(), tmp_path)
    for name in ("103/1240/._103-1240-0000.flac", "103/.DS_Store", "._103", ".DS_Store"):
        (tmp_path / "train-clean-100" / name).touch()
    assert read_all(LibriSpeech(), tmp_path) == before


def test_a_file_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "train-clean-100/103/1240/103-\udcff.flac").touch()
    found = [entry for entry in read_all(LibriSpeech(), tmp_path) if entry.id == "103-\\udcff"]
    assert [isinstance(entry, Reject) for entry in found] == [True]


def test_a_nul_in_a_text_is_rejected(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "train-clean-100/103/1240/103-1240.trans.txt").write_text("103-1240-0000 CHAPTER\0ONE\n")
    reasons = {entry.id: entry.reason for entry in read_all(LibriSpeech(), tmp_path) if isinstance(entry, Reject)}
    assert reasons["103-1240-0000"].startswith("bad encoding: text is 'CHAPTER")
