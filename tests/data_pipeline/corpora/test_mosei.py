import json
from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.mosei import Mosei
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_all, rejects, utterances, write

HEADER = "video_id,clip_id,sentiment,happy,sad,anger,surprise,disgust,fear\n"


def write_video(root: Path, video: str, lines: str, *, recorded: bool = True) -> None:
    write(root / f"Raw/Transcript/Segmented/Combined/{video}.txt", lines)
    if recorded:
        write(root / f"Raw/Audio/Full/WAV_16000/{video}.wav")


def test_an_utterance_is_a_segment_with_its_emotion(tmp_path: Path) -> None:
    write_video(tmp_path, "-3g5yACwYnA", "-3g5yACwYnA___0___82.753___100.555___Key is part of the people.\n")
    write(tmp_path / "labels.csv", HEADER + "-3g5yACwYnA,0,1.0,0.6667,0,0.3333,0,0,0\n")
    assert read_all(Mosei(), tmp_path) == [
        Utterance(
            id="-3g5yACwYnA_0",
            corpus="mosei",
            split="all",
            language="en",
            audio=AudioReference(path="Raw/Audio/Full/WAV_16000/-3g5yACwYnA.wav", start=82.753, length=17.802),
            text="Key is part of the people.",
            sample_rate=16_000,
            duration=17.802,
            speaker="-3g5yACwYnA",
            emotion="happy",
            original_emotion="happy",
        )
    ]


def test_a_start_before_the_file_means_its_start(tmp_path: Path) -> None:
    write_video(tmp_path, "a", "a___0___-0.4575___1.75___Hello.\n")
    write(tmp_path / "labels.csv", HEADER + "a,0,0,0,2,0,0,0,0\n")
    assert utterances(Mosei(), tmp_path)["a_0"].audio == AudioReference(
        path="Raw/Audio/Full/WAV_16000/a.wav", start=0.0, length=1.75
    )


def test_underscores_in_names_and_texts_split_nothing(tmp_path: Path) -> None:
    write_video(tmp_path, "_a___b_", "_a___b____0___1.0___2.0___well___you know\n_a___b____1___2.0___3.0___\n")
    write(tmp_path / "labels.csv", HEADER + "_a___b_,0,0,0,0,0,1,0,0\n_a___b_,1,0,0,0,0,0,1,0\n")
    found = utterances(Mosei(), tmp_path)
    assert {id: (entry.text, entry.emotion) for id, entry in found.items()} == {
        "_a___b__0": ("well___you know", "surprised"),
        "_a___b__1": ("", "disgusted"),
    }


def test_only_a_unique_highest_score_is_an_emotion(tmp_path: Path) -> None:
    write_video(tmp_path, "v", "".join(f"v___{clip}___{clip}.0___{clip}.9___Text.\n" for clip in range(4)))
    scores = "v,0,3,0,0,0,0,0,0\nv,1,0,1,0,1,0,0,0.5\nv,2,0,1,0,1,0,0,2\nv,3,0,,x,0,0,0,0\n"
    write(tmp_path / "labels.csv", HEADER + scores)
    assert {id: entry.emotion for id, entry in utterances(Mosei(), tmp_path).items()} == {"v_2": "fearful"}
    found = rejects(Mosei(), tmp_path)
    assert found["v_0"] == "no emotion: all six scores are 0"
    assert found["v_1"] == "tied emotions: happy and anger all have 1"
    assert found["v_3"].startswith("bad label: ['', 'x', '0'")


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    lines = [
        "v___0___0.0___1.0___Fine.",
        "v___1___1.0___2.0___No label.",
        "v___2___one___2.0___Times.",
        "a line of another kind",
        "v___3___5.0___4.0___Backwards.",
        "v___0___0.0___1.0___Again.",
        "v___4___-3.0___-1.0___Before the start.",
    ]
    write_video(tmp_path, "v", "\n".join(lines))
    write_video(tmp_path, "w", "w___0___0.0___1.0___No clip.\n", recorded=False)
    write(tmp_path / "Raw/Audio/Full/WAV_16000/x.wav")
    labels = "".join(f"{key},0,1,0,0,0,0,0\n" for key in ("v,0", "v,3", "v,4", "v,9", "w,0", "y,0"))
    write(tmp_path / "labels.csv", HEADER + labels)
    assert list(utterances(Mosei(), tmp_path)) == ["v_0"]
    kinds = {id: reason.partition(":")[0] for id, reason in rejects(Mosei(), tmp_path).items()}
    assert kinds == {
        "v_1": "no label",
        "v:3": "bad row",
        "v:4": "bad row",
        "v_3": "bad times",
        "v_0": "duplicate id",
        "v_4": "bad times",
        "v_9": "missing segment",
        "w_0": "missing file",
        "x": "no transcript",
        "y_0": "missing segment",
    }


VECTOR = [-1.0, 0, 0, 2, 0, 0, 0]
TABLES = {
    "list.Labels.json": [{"vid": "v", "clip": 7, **dict.fromkeys(("happy", "sad", "surprise", "disgust", "fear"), 0),
                          "anger": 1, "split": "test"}],
    "keys.Labels.json": {"v___7": VECTOR},
    "index.Labels.json": {"v[7]": VECTOR},
    "clips.Labels.json": {"v": {"7": VECTOR}},
    "CMU_MOSEI_Labels.json": {"v": {"intervals": [[9.0, 9.5], [3.01, 4.5]], "features": [[0] * 7, VECTOR]}},
}  # fmt: skip


@pytest.mark.parametrize(("name", "table"), TABLES.items(), ids=TABLES)
def test_every_layout_of_labels_is_read(tmp_path: Path, name: str, table: object) -> None:
    write_video(tmp_path, "v", "v___7___3.0___4.5___Text.\n")
    write(tmp_path / "Raw" / name, json.dumps(table))
    utterance = utterances(Mosei(), tmp_path)["v_7"]
    assert (utterance.emotion, utterance.original_emotion) == ("angry", "anger")
    assert utterance.split == ("test" if name.startswith("list") else "all")


def test_the_table_can_be_named(tmp_path: Path) -> None:
    write_video(tmp_path, "v", "v___7___3.0___4.5___Text.\n")
    for name in ("labels.csv", "old_labels.csv"):
        write(tmp_path / name, HEADER + f"v,7,0,{int(name == 'labels.csv')},0,0,0,0,0.5\n")
    with pytest.raises(CorpusError, match=r"expected one table of labels.* found \['labels\.csv', 'old_labels\.csv'\]"):
        Mosei().parts(CorpusFiles(str(tmp_path)))
    assert utterances(Mosei(labels="labels.csv"), tmp_path)["v_7"].emotion == "happy"
    assert utterances(Mosei(labels="old_labels.csv"), tmp_path)["v_7"].emotion == "fearful"


def test_two_labels_of_one_segment_reject_it(tmp_path: Path) -> None:
    write_video(tmp_path, "v", "v___7___3.0___4.5___Text.\n")
    write(tmp_path / "labels.csv", HEADER + "v,7,0,1,0,0,0,0,0\nv,7,0,0,1,0,0,0,0\n")
    assert rejects(Mosei(), tmp_path) == {"v_7": "duplicate label: v 7 has more than one"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "a,b\n1,2\n", "expected the columns"),
        ("labels.csv", HEADER + "v,first,0,1,0,0,0,0,0\n", "row 1 has the clip 'first', expected a whole number"),
        ("labels.json", "{", "expected a table in CSV or JSON"),
        ("labels.json", "3", "expected a JSON list or object, got int"),
        ("labels.json", '{"v": 3}', "expected a key <video>___<clip>"),
        ("labels.json", '{"v": {"intervals": [[0, 1]], "features": []}}', "expected labels as lists of 7 numbers"),
    ],
)
def test_another_layout_of_labels_is_an_error(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_video(tmp_path, "v", "v___7___3.0___4.5___Text.\n")
    write(tmp_path / name, content)
    with pytest.raises(CorpusError, match=message):
        Mosei().parts(CorpusFiles(str(tmp_path)))


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected transcripts of CMU-MOSEI: Raw/Transcript"):
        Mosei().parts(CorpusFiles(str(tmp_path)))
