from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.esd import Esd
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_all, rejects, utterances, write


def test_an_utterance_has_its_text_split_and_emotion(tmp_path: Path) -> None:
    write(tmp_path / "0011/Surprise/evaluation/0011_001401.wav")
    write(tmp_path / "0011/0011.txt", "0011_001401\tThe nine the eggs, I keep.\tSurprise\n")
    assert read_all(Esd(), tmp_path) == [
        Utterance(
            id="0011_001401",
            corpus="esd",
            split="evaluation",
            language="en",
            audio=AudioReference(path="0011/Surprise/evaluation/0011_001401.wav"),
            text="The nine the eggs, I keep.",
            sample_rate=16_000,
            speaker="0011",
            gender="male",
            emotion="surprised",
            original_emotion="Surprise",
        )
    ]


def test_the_split_directory_is_optional(tmp_path: Path) -> None:
    write(tmp_path / "ESD/0015/Angry/0015_000351.wav")
    write(tmp_path / "ESD/0015/Sad/train/0015_001051.wav")
    write(tmp_path / "ESD/0015/Sad/test/0015_001071.wav")
    found = utterances(Esd(), tmp_path)
    assert {id: entry.split for id, entry in found.items()} == {
        "0015_000351": "all",
        "0015_001051": "train",
        "0015_001071": "test",
    }
    assert found["0015_000351"].audio.path == "ESD/0015/Angry/0015_000351.wav"


@pytest.mark.parametrize(
    ("speaker", "text", "encoding"),
    [
        ("0001", "打远一看，它们的确很是美丽。", "utf-8"),
        ("0002", "打远一看，它们的确很是美丽。", "gb18030"),
        ("0003", "打远一看，它们的确很是美丽。", "utf-16"),
        ("0004", "打远一看，它们的确很是美丽。", "utf-16-le"),
        ("0005", "打远一看，它们的确很是美丽。", "utf-8-sig"),
        ("0016", "I don’t see José.", "cp1252"),
        ("0017", "I don’t see José.", "utf-16"),
        ("0018", "I don’t see José.", "utf-8"),
    ],
)
def test_texts_in_every_encoding_are_read(tmp_path: Path, speaker: str, text: str, encoding: str) -> None:
    label = "快乐" if int(speaker) < 11 else "Happy"
    write(tmp_path / f"{speaker}/Happy/train/{speaker}_000701.wav")
    write(tmp_path / f"{speaker}/{speaker}.txt", f"{speaker}_000701\t{text}\t{label}\r\n".encode(encoding))
    utterance = utterances(Esd(), tmp_path)[f"{speaker}_000701"]
    assert utterance.text == text
    assert utterance.language == ("zh" if int(speaker) < 11 else "en")


def test_lines_of_one_table_may_differ_in_encoding(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"0001/Neutral/0001_00000{number}.wav")
    write(
        tmp_path / "0001/0001.txt", "0001_000001\t你好\t中立\n".encode() + "0001_000002\t再见\t中立\n".encode("gb18030")
    )
    assert [entry.text for entry in utterances(Esd(), tmp_path).values()] == ["你好", "再见"]


def test_the_genders_are_those_of_the_published_list(tmp_path: Path) -> None:
    for number in range(1, 21):
        write(tmp_path / f"{number:04d}/Sad/{number:04d}_001051.wav")
    male = {entry.speaker for entry in utterances(Esd(), tmp_path).values() if entry.gender == "male"}
    assert male == {"0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020"}


def test_the_languages_can_be_chosen(tmp_path: Path) -> None:
    for speaker in ("0010", "0011"):
        write(tmp_path / f"{speaker}/Sad/{speaker}_001051.wav")
    assert list(utterances(Esd(languages=("zh",)), tmp_path)) == ["0010_001051"]


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    lines = [
        "0011_000001\tGood.\tNeutral",
        "0011_000002\tNo clip.\tNeutral",
        "0011_000351\tContradicts.\tHappy",
        "not an id",
        "0011_000001\tAgain.\tNeutral",
        "",
    ]
    write(tmp_path / "0011/0011.txt", "\n".join(lines))
    write(tmp_path / "0011/Neutral/0011_000001.wav")
    write(tmp_path / "0011/Neutral/train/0011_000001.wav")
    write(tmp_path / "0011/Angry/0011_000351.wav")
    write(tmp_path / "0011/Bored/0011_000999.wav")
    assert [entry.text for entry in utterances(Esd(), tmp_path).values()] == ["Good."]
    kinds = {id: reason.partition(":")[0] for id, reason in rejects(Esd(), tmp_path).items()}
    assert kinds == {
        "0011_000002": "missing file",
        "0011_000351": "contradictory emotion",
        "0011/0011.txt:4": "bad row",
        "0011/0011.txt:5": "duplicate id",
        "0011_000001": "duplicate id",
        "0011_000999": "unknown emotion",
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0011_000001 Let the glass globe be. Neutral", "Let the glass globe be."),
        ("0011_000001\tLet the glass globe be.", "Let the glass globe be."),
        ("0011_000001\t\tNeutral", ""),
        ("0011_000001", ""),
        ("0011_000001\tLet it be.\tneutrl", "Let it be."),
    ],
)
def test_lines_with_odd_columns_are_read(tmp_path: Path, line: str, text: str) -> None:
    write(tmp_path / "0011/Neutral/0011_000001.wav")
    write(tmp_path / "0011/0011.txt", line)
    utterance = utterances(Esd(), tmp_path)["0011_000001"]
    assert (utterance.text, utterance.original_emotion) == (text, "Neutral")


def test_a_line_in_no_known_encoding_is_rejected_alone(tmp_path: Path) -> None:
    write(tmp_path / "0001/Neutral/0001_000001.wav")
    write(tmp_path / "0001/0001.txt", "0001_000001\t你好\t中立\n".encode() + b"0001_000002\t\xff\xff\t\n")
    assert rejects(Esd(), tmp_path)["0001/0001.txt:2"].startswith("bad encoding:")
    assert utterances(Esd(), tmp_path)["0001_000001"].text == "你好"


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path / "speaker1/Angry/1.wav")
    with pytest.raises(CorpusError, match="expected directories of ESD: the speakers 0001 to 0020"):
        Esd().parts(CorpusFiles(str(tmp_path)))


@pytest.mark.parametrize("directory", ["neutral", "NEUTRAL", "中立"])
def test_directories_may_have_other_case_or_chinese_labels(tmp_path: Path, directory: str) -> None:
    write(tmp_path / f"0001/{directory}/0001_000001.wav")
    write(tmp_path / "0001/0001.txt", "0001_000001\t你好\t中立\n")
    assert [entry.emotion for entry in utterances(Esd(), tmp_path).values()] == ["neutral"]


def test_a_file_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    write(tmp_path / "0011/Sad/\udcff.wav")
    assert list(rejects(Esd(), tmp_path)) == ["\\udcff"]


def test_an_unknown_language_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "0011/Sad/0011_000001.wav")
    with pytest.raises(CorpusError, match="no language eng; there: en, zh"):
        Esd(languages=("eng",)).parts(CorpusFiles(str(tmp_path)))
