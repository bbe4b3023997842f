import csv
import io
from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.meld import LABELS, Meld, repair_text
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_all, rejects, utterances, write

COLUMNS = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode"]
COLUMNS += ["StartTime", "EndTime"]


def table(*rows: tuple[str, str, str, object, object]) -> str:
    """Utterance, speaker, emotion, dialogue and utterance of each row."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for number, (utterance, speaker, emotion, dialogue, index) in enumerate(rows, 1):
        times = ("00:16:16,059", "00:16:21,731")
        writer.writerow([number, utterance, speaker, emotion, "neutral", dialogue, index, 8, 21, *times])
    return text.getvalue()


def test_an_utterance_has_its_text_speaker_and_emotion(tmp_path: Path) -> None:
    write(tmp_path / "train_sent_emo.csv", table(("Also I was, the point person", "Chandler", "joy", 0, 0)))
    write(tmp_path / "train_splits/dia0_utt0.mp4")
    assert read_all(Meld(), tmp_path) == [
        Utterance(
            id="train_dia0_utt0",
            corpus="meld",
            split="train",
            language="en",
            audio=AudioReference(path="train_splits/dia0_utt0.mp4"),
            text="Also I was, the point person",
            speaker="Chandler",
            emotion="happy",
            original_emotion="joy",
        )
    ]


LAYOUTS = {
    "published": ("{split}_sent_emo.csv", "{published}"),
    "published in a directory a split": ("{split}/{split}_sent_emo.csv", "{split}/{published}"),
    "below MELD.Raw": ("MELD.Raw/{split}_sent_emo.csv", "MELD.Raw/{published}"),
    "plain": ("{split}_sent_emo.csv", "{split}"),
    "plain with the table inside": ("{split}/{split}_sent_emo.csv", "{split}"),
}


@pytest.mark.parametrize(("csv_path", "clips"), LAYOUTS.values(), ids=LAYOUTS)
def test_ids_are_unique_among_the_splits_of_every_layout(tmp_path: Path, csv_path: str, clips: str) -> None:
    published = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    for split, directory in published.items():
        row = (f"In {split}.", "Ross", "anger", 3, 14)
        write(tmp_path / csv_path.format(split=split), table(row))
        write(tmp_path / clips.format(split=split, published=directory) / "dia3_utt14.mp4")
    found = utterances(Meld(), tmp_path)
    assert {id: (entry.split, entry.text) for id, entry in found.items()} == {
        f"{split}_dia3_utt14": (split, f"In {split}.") for split in published
    }


@pytest.mark.parametrize(
    ("stored", "repaired"),
    [
        ("I don\u0092t know", "I don’t know"),
        ("I donâ€™t know", "I don’t know"),
        ("I donâ\u0080\u0099t know", "I don’t know"),
        ("\u0093Oh\u0094, he said\u0085", "“Oh”, he said…"),
        ("â€œOhâ€\u009d", "“Oh”"),
        ("the cafÃ© and a café", "the café and a café"),
        ("plain’s fine", "plain’s fine"),
        ("你好", "你好"),
    ],
)
def test_texts_are_repaired(tmp_path: Path, stored: str, repaired: str) -> None:
    assert repair_text(stored) == repaired
    write(tmp_path / "dev_sent_emo.csv", table((stored, "Mônica", "fear", 1, 2)))
    write(tmp_path / "dev_splits_complete/dia1_utt2.mp4")
    utterance = utterances(Meld(), tmp_path)["dev_dia1_utt2"]
    assert (utterance.text, utterance.speaker) == (repaired, "Mônica")


def test_a_table_in_windows_1252_is_read(tmp_path: Path) -> None:
    write(tmp_path / "test_sent_emo.csv", table(("I don’t", "Joey", "disgust", 0, 1)).encode("cp1252"))
    write(tmp_path / "test/dia0_utt1.mp4")
    assert utterances(Meld(), tmp_path)["test_dia0_utt1"].text == "I don’t"


def test_every_published_emotion_is_mapped(tmp_path: Path) -> None:
    write(tmp_path / "train_sent_emo.csv", table(*(("Hm.", "Joey", label, 0, n) for n, label in enumerate(LABELS))))
    for number in range(len(LABELS)):
        write(tmp_path / f"train/dia0_utt{number}.mp4")
    found = utterances(Meld(), tmp_path).values()
    assert {entry.original_emotion: entry.emotion for entry in found} == {
        "neutral": "neutral",
        "joy": "happy",
        "sadness": "sad",
        "anger": "angry",
        "surprise": "surprised",
        "fear": "fearful",
        "disgust": "disgusted",
    }


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    rows = table(
        ("Fine.", "Ross", "Neutral", 0, 0),
        ("Gone.", "Ross", "neutral", 0, 1),
        ("Odd.", "Ross", "bored", 0, 2),
        ("No number.", "Ross", "neutral", "x", 3),
        ("Twice.", "Ross", "neutral", 0, 0),
    )
    write(tmp_path / "train_sent_emo.csv", rows + "7,cut off\n")
    for clip in ("dia0_utt0", "dia0_utt2", "dia9_utt9", "._dia0_utt0", "final_videos_testdia0_utt0"):
        write(tmp_path / f"train_splits/{clip}.mp4")
    assert list(utterances(Meld(), tmp_path)) == ["train_dia0_utt0"]
    kinds = {id: reason.partition(":")[0] for id, reason in rejects(Meld(), tmp_path).items()}
    assert kinds == {
        "train_dia0_utt1": "missing file",
        "train_dia0_utt2": "unknown emotion",
        "train:5": "bad row",
        "train_dia0_utt0": "duplicate id",
        "train:7": "bad row",
        "train_dia9_utt9": "no label",
    }


def test_an_empty_text_is_an_unknown_one(tmp_path: Path) -> None:
    write(tmp_path / "train_sent_emo.csv", table(("  ", "Ross", "neutral", 0, 0)))
    write(tmp_path / "train_splits/dia0_utt0.mp4")
    assert utterances(Meld(), tmp_path)["train_dia0_utt0"].text == ""


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected tables of MELD, one of train_sent_emo\.csv"):
        Meld().parts(CorpusFiles(str(tmp_path)))
    write(tmp_path / "train_sent_emo.csv", table(("Hm.", "Ross", "neutral", 0, 0)))
    with pytest.raises(CorpusError, match=r"expected clips dia0_utt0\.mp4 in one of train_splits"):
        read_all(Meld(), tmp_path)
    write(tmp_path / "train_sent_emo.csv", "text,label\nHm.,neutral\n")
    write(tmp_path / "train_splits/dia0_utt0.mp4")
    with pytest.raises(CorpusError, match=r"columns \['Utterance', .*are missing; found \['text', 'label'\]"):
        read_all(Meld(), tmp_path)


def test_an_unknown_split_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "train_sent_emo.csv", table(("Hi", "Ross", "joy", 0, 0)))
    with pytest.raises(CorpusError, match=r"no split '\.\./valid'; there: train"):
        Meld(splits=("train", "../valid")).parts(CorpusFiles(str(tmp_path)))


@pytest.mark.parametrize(("rows", "fault"), [(4000, "field larger than field limit"), (4, "a quote is never closed")])
def test_a_quote_that_is_never_closed_loses_its_row_alone(tmp_path: Path, rows: int, fault: str) -> None:
    lines = [f"A text that is not short,Ross,joy,{number},0\n" for number in range(rows)]
    lines[1] = f'"{lines[1]}'
    write(tmp_path / "train_sent_emo.csv", "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n" + "".join(lines))
    for number in range(rows):
        write(tmp_path / f"train_splits/dia{number}_utt0.mp4")
    assert list(utterances(Meld(), tmp_path)) == [f"train_dia{number}_utt0" for number in range(rows) if number != 1]
    found = rejects(Meld(), tmp_path)
    assert found.pop("train:3").startswith(f"bad row: line 3 of train_sent_emo.csv: {fault}")
    assert list(found) == ["train_dia1_utt0"]


def test_a_text_of_two_lines_is_one_row(tmp_path: Path) -> None:
    write(tmp_path / "train_sent_emo.csv", table(("One\ntwo", "Ross", "joy", 0, 0), ("Three", "Ross", "joy", 1, 0)))
    for number in range(2):
        write(tmp_path / f"train_splits/dia{number}_utt0.mp4")
    assert [entry.text for entry in utterances(Meld(), tmp_path).values()] == ["One\ntwo", "Three"]
