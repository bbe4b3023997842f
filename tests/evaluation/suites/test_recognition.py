"""Recognition over prepared data sets and manifests, with scores that were computed by hand."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dataset import DatasetWriter, ShardContent
from data_pipeline.report import Report
from data_pipeline.schema import REJECT, SAMPLE
from evaluation.scores import Suite
from evaluation.suites import open_suite
from evaluation.suites.emotion_names import emotion_in
from opens2s_core.audio import decode_audio
from tests.evaluation.suites.asking import FLAC, WAV, summed, text_answer


def sample(
    name: str, transcript: str = "", emotion: str = "", *, language: str = "en", clips: int = 1
) -> dict[str, Any]:
    empty = {field.name: [] if pa.types.is_list(field.type) else 0 for field in SAMPLE}
    return {
        **empty,
        "id": name,
        "audios": [FLAC] * clips,
        "transcript": transcript,
        "emotion": emotion,
        "corpus": "small",
        "language": language,
    }


def prepare(root: Path, *shards: Sequence[dict[str, Any]]) -> str:
    """A finished data set of these samples."""
    writer = DatasetWriter(str(root))
    names = [f"{number:05d}-of-{len(shards):05d}" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        content = ShardContent(
            rows=pa.Table.from_pylist(list(rows), schema=SAMPLE),
            rejects=pa.Table.from_pylist([], schema=REJECT),
            report=Report(),
        )
        writer.publish(name, "made for a test", content)
    writer.finish(names)
    return str(root)


def manifest(root: Path, *rows: dict[str, Any]) -> str:
    (root / "clips").mkdir(exist_ok=True)
    for row in rows:
        (root / row["audio"]).write_bytes(WAV)
    path = root / "test.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def score(suite: Suite, data: str, answers: Sequence[str]) -> dict[str, float]:
    scores = []
    for item, text in zip(suite.items(data), answers, strict=True):
        answer = text_answer(item, text)
        assert suite.questions(item, answer) == []
        scores += suite.scores(item, answer, [])
    return summed(suite, scores)


def test_a_prepared_data_set_gives_its_clips_with_transcripts(tmp_path: Path) -> None:
    rows = [sample("a", "one two"), sample("written", clips=0), sample("two-clips", "", clips=2), sample("unknown")]
    data = prepare(tmp_path / "set", rows, [sample("b", "三", language="zh")])
    first, second = open_suite("asr").items(data)
    assert (first.id, first.references, first.language) == ("a", ("one two",), "en")
    assert (first.turns[0].audio, first.turns[0].text) == (FLAC, "one two")
    assert (second.id, second.language) == ("b", "zh")


def test_models_transcribe_as_they_were_trained_to_or_as_instructed(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a", "one two")])
    for settings, expected in (
        ({}, (True, "")),
        ({"instruction": ""}, (False, "")),
        ({"instruction": "Write it down:"}, (False, "Write it down:")),
    ):
        (item,) = open_suite("asr", **settings).items(data)
        assert (item.transcribe, item.turns[0].instruction) == expected


def test_error_rates_are_over_the_words_and_characters_of_all_clips(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a", "One two, three four!"), sample("b", "five")])
    found = score(open_suite("asr"), data, ["one too three four", "five six"])
    # 1 substitution and 1 insertion, of 5 words; 1 and 3 characters of 15 + 4.
    assert found == pytest.approx({"wer": 100 * 2 / 5, "cer": 100 * 4 / 19})


def test_each_chinese_character_is_a_word(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a", "今天天气很好。", language="zh")])
    assert score(open_suite("asr"), data, ["今天 天汽很好"]) == pytest.approx({"wer": 100 / 6, "cer": 100 / 6})


def test_a_manifest_can_be_given_as_a_file_or_as_its_directory(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"audio": "clips/a.wav", "text": "one two", "label": "happiness"},
        {"audio": "clips/b.wav", "text": "", "label": "sad"},
    )
    suite = open_suite("asr")
    (item,) = suite.items(path)
    assert (item.id, item.references) == ("test:1", ("one two",))
    samples, rate = decode_audio(item.turns[0].audio)
    original, original_rate = decode_audio(WAV)
    assert rate == original_rate
    assert np.array_equal(samples, original)
    assert suite.items(str(tmp_path)) == [item]
    assert suite.describe(path, suite.items(path)) == {
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "rows": 1,
    }
    emotions = [item.labels["emotion"] for item in open_suite("ser").items(path)]
    assert emotions == ["happy", "sad"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "clips/a.wav", "text": ""}, "test.jsonl, row test:1: no text"),
        ({"audio": "clips/a.wav", "label": "odd"}, "row test:1: unknown emotion: 'odd'"),
    ],
)
def test_bad_rows_of_a_manifest_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_suite("asr").items(manifest(tmp_path, row))


def test_a_data_set_is_known_by_the_checksum_of_its_manifest(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a", "one two")])
    digest = hashlib.sha256((tmp_path / "set/_dataset.json").read_bytes()).hexdigest()
    assert open_suite("asr").describe(data, open_suite("asr").items(data)) == {"sha256": digest, "rows": 1}


def test_data_without_transcripts_or_emotions_are_an_error(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a")])
    with pytest.raises(ValueError, match="expected clips with transcripts, found none"):
        open_suite("asr").items(data)
    with pytest.raises(ValueError, match="expected clips with emotions, found none"):
        open_suite("ser").items(data)


def test_unweighted_accuracy_is_the_mean_of_the_recalls(tmp_path: Path) -> None:
    rows = [sample(f"s{n}", emotion="sad") for n in range(3)] + [sample("h", emotion="happy")]
    suite = open_suite("ser")
    data = prepare(tmp_path / "set", rows)
    assert suite.items(data)[0].turns[0].instruction.endswith("one word of: happy, sad.")
    assert suite.describe(data, suite.items(data))["labels"] == ["happy", "sad"]
    found = score(suite, data, ["Sad.", "happy", "happy or sad", "The speaker is joyful: HAPPY!"])
    # Recalls 1/3 of sad and 1 of happy; 2 of 4 right; one answer names two emotions.
    assert found == pytest.approx({"unweighted_accuracy": 100 * (1 / 3 + 1) / 2, "accuracy": 50.0, "named": 75.0})


def test_labels_choose_the_clips_and_what_is_asked(tmp_path: Path) -> None:
    data = prepare(tmp_path / "set", [sample("a", emotion="sad"), sample("b", emotion="other")])
    (item,) = open_suite("ser", labels="angry,sad").items(data)
    assert item.labels == {"emotion": "sad", "labels": ["angry", "sad"]}
    assert "angry, sad" in item.turns[0].instruction


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("sad", "sad"),
        ("**Sad**", "sad"),
        ("The emotion is sadness.", "sad"),
        ("说话人很sad。", "sad"),
        ("说话人听起来很悲伤", "sad"),
        ("anger", "angry"),
        ("I cannot say.", None),
        ("unhappy", None),  # not "happy"
        ("sad, not happy", None),
        ("fearful", None),  # no choice
        ("", None),
    ],
)
def test_the_emotion_that_a_text_names(text: str, emotion: str | None) -> None:
    assert emotion_in(text, ["angry", "happy", "sad"]) == emotion
