from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.common_voice import CommonVoice
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_utterances

HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"


def row(clip: str, sentence: str, *, client: str = "c1", age: str = "", gender: str = "", locale: str = "en") -> str:
    return f"{client}\t{clip}\t{sentence}\t2\t0\t{age}\t{gender}\t\t\t{locale}\t"


def write_split(
    directory: Path, *rows: str, split: str = "train", end: str = "\n", clips: tuple[str, ...] | None = None
) -> None:
    (directory / "clips").mkdir(parents=True, exist_ok=True)
    named = [line.split("\t")[1] for line in rows if line.count("\t") == 10]
    for clip in clips if clips is not None else [name for name in named if name and "/" not in name]:
        (directory / "clips" / clip).touch()
    (directory / f"{split}.tsv").write_bytes(end.join([HEADER, *rows, ""]).encode())


def test_an_utterance_has_the_fields_of_its_row(tmp_path: Path) -> None:
    write_split(tmp_path / "en", row("common_voice_en_1.mp3", "A cat.", client="9f", age="twenties", gender="female"))
    assert read_utterances(CommonVoice(), tmp_path) == (
        [
            Utterance(
                id="train-common_voice_en_1",
                corpus="common_voice",
                split="train",
                language="en",
                audio=AudioReference(path="en/clips/common_voice_en_1.mp3"),
                text="A cat.",
                speaker="9f",
                gender="female",
                age="young",
            )
        ],
        {},
    )


@pytest.mark.parametrize("above", ["cv-corpus-13.0-2023-03-09/en", "en", ""])
def test_the_root_may_be_the_release_or_above_or_the_language(tmp_path: Path, above: str) -> None:
    write_split(tmp_path / above, row("a.mp3", "Yes."))
    utterances, _ = read_utterances(CommonVoice(), tmp_path)
    assert [utterance.audio.path for utterance in utterances] == [f"{above}/clips/a.mp3".lstrip("/")]


@pytest.mark.parametrize(
    "sentence", ['"Stop!" he cried.', '"An open one', 'A "" pair', "It's", "你好世界", "one\u2028line", "one\x85line"]
)
def test_sentences_are_read_as_they_stand(tmp_path: Path, sentence: str) -> None:
    write_split(tmp_path, row("a.mp3", sentence), row("b.mp3", "Next."))
    utterances, _ = read_utterances(CommonVoice(), tmp_path)
    assert [utterance.text for utterance in utterances] == [sentence, "Next."]


@pytest.mark.parametrize(
    ("age", "expected"),
    [("teens", "young"), ("thirties", "adult"), ("fourties", "adult"), ("nineties", "elderly"), ("", ""), ("old", "")],
)
def test_decades_are_mapped_to_ages(tmp_path: Path, age: str, expected: str) -> None:
    write_split(tmp_path, row("a.mp3", "Yes.", age=age))
    assert read_utterances(CommonVoice(), tmp_path)[0][0].age == expected


@pytest.mark.parametrize(("gender", "expected"), [("male", "male"), ("female", "female"), ("other", ""), ("", "")])
def test_a_gender_without_a_label_is_unknown(tmp_path: Path, gender: str, expected: str) -> None:
    write_split(tmp_path, row("a.mp3", "Yes.", gender=gender))
    assert read_utterances(CommonVoice(), tmp_path)[0][0].gender == expected


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_fields(tmp_path: Path) -> None:
    write_split(tmp_path, row("a.mp3", "Yes."), end="\r\n")
    table = tmp_path / "train.tsv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    utterances, rejects = read_utterances(CommonVoice(), tmp_path)
    assert [utterance.text for utterance in utterances] == ["Yes."]
    assert not rejects


def test_bad_rows_are_rejected_singly(tmp_path: Path) -> None:
    write_split(
        tmp_path,
        row("a.mp3", "Good."),
        row("gone.mp3", "No clip."),
        row("a.mp3", "Again."),
        row("b.mp3", ""),
        row("", "No path."),
        row("../../secret.mp3", "Out."),
        row("/etc/passwd", "Out."),
        "c1\td.mp3\tToo few",
        row("z.mp3", "Good too."),
        clips=("a.mp3", "b.mp3", "z.mp3"),
    )
    utterances, rejects = read_utterances(CommonVoice(), tmp_path)
    assert [utterance.text for utterance in utterances] == ["Good.", "Good too."]
    assert rejects == {
        "train-gone": "missing file: clips/gone.mp3",
        "train-a": "duplicate id: train-a is earlier in the same part",
        "train-b": "no text: sentence is empty or absent",
        "train.tsv:6": "no audio: path is empty or absent",
        "train-../../secret": "path outside the corpus: '../../secret.mp3' leads out of the corpus: "
        "expected a path below its root",
        "train-/etc/passwd": "path outside the corpus: '/etc/passwd' leads out of the corpus: "
        "expected a path below its root",
        "train.tsv:9": "bad row: 3 fields, expected 11",
    }


def test_a_line_in_another_encoding_is_rejected_alone(tmp_path: Path) -> None:
    write_split(tmp_path, row("a.mp3", "Café."), row("b.mp3", "Tea."))
    table = tmp_path / "train.tsv"
    table.write_bytes(table.read_bytes().replace("é".encode(), "é".encode("latin-1")))
    utterances, rejects = read_utterances(CommonVoice(), tmp_path)
    assert [utterance.text for utterance in utterances] == ["Tea."]
    assert rejects["train.tsv:2"].startswith("bad encoding: ")


def test_a_clip_in_two_splits_has_two_ids(tmp_path: Path) -> None:
    write_split(tmp_path, row("a.mp3", "Yes."))
    write_split(tmp_path, row("a.mp3", "Yes."), split="validated")
    utterances, _ = read_utterances(CommonVoice(splits=("train", "validated")), tmp_path)
    assert [utterance.id for utterance in utterances] == ["train-a", "validated-a"]


def test_a_language_with_a_region_has_a_code_of_two_letters(tmp_path: Path) -> None:
    write_split(tmp_path / "zh-CN", row("a.mp3", "你好", locale="zh-CN"))
    assert read_utterances(CommonVoice(lang="zh-CN"), tmp_path)[0][0].language == "zh"


def test_two_releases_are_an_error(tmp_path: Path) -> None:
    for release in ("cv-corpus-12.0-2022-12-07", "cv-corpus-13.0-2023-03-09"):
        write_split(tmp_path / release / "en", row("a.mp3", "Yes."))
    with pytest.raises(CorpusError, match="several releases of Common Voice"):
        read_utterances(CommonVoice(), tmp_path)


def test_another_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected one directory with en/train\.tsv"):
        read_utterances(CommonVoice(), tmp_path)


@pytest.mark.parametrize("content", [b"", b"client_id,path,sentence\n", b"\xff\xfe\x00"])
def test_a_table_without_its_columns_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.tsv").write_bytes(content)
    with pytest.raises(CorpusError, match="expected columns client_id, path, sentence"):
        read_utterances(CommonVoice(), tmp_path)


def test_a_row_of_another_language_is_rejected(tmp_path: Path) -> None:
    write_split(tmp_path, row("a.mp3", "你好", locale="zh-CN"), row("b.mp3", "Hello.", locale=""))
    found, rejects = read_utterances(CommonVoice(), tmp_path)
    assert [entry.text for entry in found] == ["Hello."]
    assert rejects == {"train-a": "other language: zh-CN, expected en: set lang in --corpus-settings"}


def test_an_unknown_split_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write_split(tmp_path / "en", row("a.mp3", "Hello."))
    with pytest.raises(CorpusError, match="no split 'tain'; there: train"):
        CommonVoice(splits=("train", "tain")).parts(CorpusFiles(str(tmp_path)))


def test_a_language_outside_the_root_is_an_error(tmp_path: Path) -> None:
    write_split(tmp_path / "en", row("a.mp3", "Hello."))
    with pytest.raises(CorpusError, match="leads out of the corpus"):
        CommonVoice(lang="../en").parts(CorpusFiles(str(tmp_path / "en")))
