from pathlib import Path
from typing import Any

import pytest

from data_pipeline.corpora import CorpusError
from data_pipeline.corpora.wenetspeech import WenetSpeech
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.long_form import write_table
from tests.data_pipeline.corpora.reading import read_utterances

AID = "Y0000000000_--5llN02F84"
PATH = f"audio/train/youtube/B00000/{AID}.opus"


def segment(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "sid": f"{AID}_S{number:05}",
        "confidence": 1.0,
        "begin_time": 163.46,
        "end_time": 166.4,
        "subsets": ["L", "M"],
        "text": "怎么样这些日子住得还习惯吧",
    } | changes


def write(root: Path, *segments: Any) -> None:
    audio = {"aid": AID, "duration": 2494.57, "md5": "0", "path": PATH, "source": "youtube", "tags": ["drama"]}
    write_table(root, "WenetSpeech", [audio | {"url": "u", "segments": list(segments)}])


@pytest.mark.parametrize("above", ["", "WenetSpeech"])
def test_a_segment_is_a_stretch_of_its_recording(tmp_path: Path, above: str) -> None:
    write(tmp_path / above, segment(0))
    assert read_utterances(WenetSpeech(), tmp_path) == (
        [
            Utterance(
                id=f"{AID}_S00000",
                corpus="wenetspeech",
                split="M",
                language="zh",
                audio=AudioReference(path=f"{above}/{PATH}".lstrip("/"), start=163.46, length=2.94),
                text="怎么样这些日子住得还习惯吧",
                sample_rate=16_000,
                duration=2.94,
            )
        ],
        {},
    )


def test_segments_of_low_or_unknown_confidence_are_rejected(tmp_path: Path) -> None:
    write(tmp_path, segment(0, confidence=0.95), segment(1, confidence=0.94), segment(2, confidence=None), segment(3))
    utterances, rejects = read_utterances(WenetSpeech(), tmp_path)
    assert [utterance.id[-1] for utterance in utterances] == ["0", "3"]
    assert rejects == {
        f"{AID}_S00001": "low confidence: 0.94, expected at least 0.95",
        f"{AID}_S00002": "no confidence: confidence is empty or absent",
    }


def test_the_least_confidence_is_a_setting(tmp_path: Path) -> None:
    write(tmp_path, segment(0, confidence=0.7, subsets=["W"]))
    assert len(read_utterances(WenetSpeech(subset="W", min_confidence=0.6), tmp_path)[0]) == 1


@pytest.mark.parametrize(("subset", "count"), [("L", 2), ("M", 1), ("DEV", 1)])
def test_only_the_subset_is_read(tmp_path: Path, subset: str, count: int) -> None:
    write(tmp_path, segment(0), segment(1, subsets=["L"]), segment(2, subsets=["DEV"]))
    utterances, rejects = read_utterances(WenetSpeech(subset=subset), tmp_path)
    assert [utterance.split for utterance in utterances] == [subset] * count
    assert not rejects


def test_an_unknown_subset_is_an_error() -> None:
    with pytest.raises(ValueError, match="subset is 'TEST', expected one of"):
        WenetSpeech(subset="TEST")


def test_another_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected WenetSpeech\.json"):
        read_utterances(WenetSpeech(), tmp_path)
