import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora import CorpusError
from data_pipeline.corpora.gigaspeech import GigaSpeech
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.long_form import write_table
from tests.data_pipeline.corpora.reading import read_utterances


def segment(number: int, text: str = "YES <PERIOD>", **changes: Any) -> dict[str, Any]:
    return {
        "sid": f"POD1_S{number:07}",
        "speaker": "N/A",
        "begin_time": 10.5,
        "end_time": 13.25,
        "text_tn": text,
        "subsets": ["{XL}", "{L}", "{M}"],
    } | changes


def recording(*segments: Any, aid: str = "POD1", **changes: Any) -> dict[str, Any]:
    return {
        "aid": aid,
        "title": "A talk",
        "url": "https://example.org",
        "path": f"audio/podcast/P0001/{aid}.opus",
        "sample_rate": 16000,
        "channels": 1,
        "duration": 60.0,
        "subsets": ["{XL}", "{L}", "{M}"],
        "segments": list(segments),
    } | changes


def write(root: Path, *audios: Any, missing: tuple[str, ...] = ()) -> Path:
    return write_table(root, "GigaSpeech", list(audios), missing=missing)


@pytest.mark.parametrize("above", ["", "GigaSpeech"])
def test_a_segment_is_a_stretch_of_its_recording(tmp_path: Path, above: str) -> None:
    path = f"{above}/audio/podcast/P0001/POD1.opus".lstrip("/")
    write(tmp_path / above, recording(segment(0, "YOU TOO <COMMA> REALLY <QUESTIONMARK>", speaker="Ann")))
    assert read_utterances(GigaSpeech(), tmp_path) == (
        [
            Utterance(
                id="POD1_S0000000",
                corpus="gigaspeech",
                split="M",
                language="en",
                audio=AudioReference(path=path, start=10.5, length=2.75),
                text="YOU TOO, REALLY?",
                sample_rate=16_000,
                duration=2.75,
                speaker="Ann",
            )
        ],
        {},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NO <EXCLAMATIONPOINT>", "NO!"),
        ("A<COMMA> B <PERIOD> C", "A, B. C"),
        ("IT IS 5 < 6", "IT IS 5 < 6"),
    ],
)
def test_punctuation_tags_become_marks(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, recording(segment(0, text)))
    assert read_utterances(GigaSpeech(), tmp_path)[0][0].text == expected


@pytest.mark.parametrize("tag", ["<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"])
def test_segments_without_speech_are_rejected(tmp_path: Path, tag: str) -> None:
    write(tmp_path, recording(segment(0, tag), segment(1, f"SOME {tag} TEXT"), segment(2)))
    utterances, rejects = read_utterances(GigaSpeech(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["POD1_S0000002"]
    assert rejects == dict.fromkeys(("POD1_S0000000", "POD1_S0000001"), f"no speech: the text has {tag}")


def test_only_the_subset_is_read(tmp_path: Path) -> None:
    write(tmp_path, recording(segment(0, subsets=["{XL}"]), segment(1), segment(2, subsets=["{XL}", "{S}", "{XS}"])))
    assert [u.id for u in read_utterances(GigaSpeech(), tmp_path)[0]] == ["POD1_S0000001"]
    assert [u.split for u in read_utterances(GigaSpeech(subset="{XS}"), tmp_path)[0]] == ["XS"]


def test_an_unknown_subset_is_an_error() -> None:
    with pytest.raises(ValueError, match="subset is 'm', expected one of XS, S, M"):
        GigaSpeech(subset="m")


def test_bad_segments_are_rejected_singly(tmp_path: Path) -> None:
    write(
        tmp_path,
        recording(
            segment(0, begin_time=5.0, end_time=5.0),
            segment(1, begin_time=-1.0),
            segment(2, begin_time=61.0, end_time=62.0),
            segment(3, begin_time=None),
            segment(4, text="  "),
            segment(5, text=7),
            segment(6, text="A <UNK> B"),
            segment(7),
            segment(7),
            "no object",
            segment(9, subsets=None),
            segment(10),
        ),
    )
    utterances, rejects = read_utterances(GigaSpeech(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["POD1_S0000007", "POD1_S0000010"]
    assert {key: reason.partition(": ")[0] for key, reason in rejects.items()} == {
        "POD1_S0000000": "bad times",
        "POD1_S0000001": "bad times",
        "POD1_S0000002": "bad times",
        "POD1_S0000003": "no times",
        "POD1_S0000004": "no text",
        "POD1_S0000005": "bad row",
        "POD1_S0000006": "unknown tag",
        "POD1_S0000007": "duplicate id",
        "POD1:9": "bad row",
        "POD1:10": "bad row",
    }


def test_bad_recordings_are_rejected_singly(tmp_path: Path) -> None:
    write(
        tmp_path,
        recording(segment(0, sid="POD1_S0")),
        recording(segment(0, sid="POD1_S1")),
        recording(segment(0, sid="POD2_S0"), aid="POD2"),
        recording(segment(0, sid="POD3_S0"), aid="POD3", path="../../POD3.opus"),
        recording(aid="POD4", segments=None),
        "no object",
        recording(segment(0), aid=""),
        recording(segment(0, sid="S0"), aid="POD9"),
        missing=("audio/podcast/P0001/POD2.opus",),
    )
    utterances, rejects = read_utterances(GigaSpeech(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["POD1_S0", "POD9_S0"]
    assert {key: reason.partition(": ")[0] for key, reason in rejects.items()} == {
        "POD1": "duplicate id",
        "POD2_S0": "missing file",
        "POD3_S0": "path outside the corpus",
        "POD4": "bad row",
        "GigaSpeech.json:5": "bad row",
        "GigaSpeech.json:6": "no id",
    }


def test_recordings_before_a_cut_are_read(tmp_path: Path) -> None:
    table = write(tmp_path, recording(segment(0)), recording(segment(0, sid="POD2_S0"), aid="POD2"))
    data = table.read_bytes()
    table.write_bytes(data[: data.index(b"POD2_S0")])
    utterances, rejects = read_utterances(GigaSpeech(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["POD1_S0000000"]
    assert rejects["GigaSpeech.json:1"].startswith("bad table: GigaSpeech.json after 1 recordings: ")


def test_bytes_that_are_not_utf_8_reject_only_their_segment(tmp_path: Path) -> None:
    table = write(tmp_path, recording(segment(0, "CAFÉ"), segment(1, "TEA"), title="TITRÉ"))
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace("É".encode(), "É".encode("latin-1")))
    utterances, rejects = read_utterances(GigaSpeech(), tmp_path)
    assert [utterance.text for utterance in utterances] == ["TEA"]
    assert rejects["POD1_S0000000"].startswith("bad encoding: text_tn")


@pytest.mark.parametrize("content", [{}, {"audios": []}, {"audios": {"aid": "POD1"}}])
def test_a_table_without_recordings_is_rejected(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "GigaSpeech.json").write_text(json.dumps(content))
    assert list(read_utterances(GigaSpeech(), tmp_path)[1].values()) == [
        "bad table: GigaSpeech.json has no recordings, expected a list audios"
    ]


def test_another_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected GigaSpeech\.json"):
        read_utterances(GigaSpeech(), tmp_path)
