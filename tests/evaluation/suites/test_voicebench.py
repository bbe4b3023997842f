"""VoiceBench in its published layout, with scores that were computed by hand."""

import hashlib
import json
from pathlib import Path

import pytest

from evaluation.items import Answer
from evaluation.suites import open_suite
from tests.evaluation.suites.asking import WAV, judged, summed, text_answer, write_parquet


def rows(*prompts: str) -> list[dict]:
    return [{"audio": {"bytes": WAV, "path": f"{n}.wav"}, "prompt": prompt} for n, prompt in enumerate(prompts)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "commoneval/test-00000-of-00002.parquet", rows("first", "second"))
    write_parquet(tmp_path / "commoneval/test-00001-of-00002.parquet", rows("third"))
    return tmp_path


def test_the_root_the_directory_of_the_subset_and_a_file_can_be_read(data: Path) -> None:
    suite = open_suite("voicebench-commoneval")
    items = suite.items(str(data))
    assert [(item.id, item.turns[0].text) for item in items] == [
        ("0000", "first"),
        ("0001", "second"),
        ("0002", "third"),
    ]
    assert all(item.turns[0].audio == WAV for item in items)
    assert suite.items(str(data / "commoneval")) == items
    assert suite.items(str(data / "commoneval/test-00000-of-00002.parquet")) == items[:2]


def test_questions_show_prompt_and_response_and_are_asked_as_published(data: Path) -> None:
    suite = open_suite("voicebench-commoneval")
    item = suite.items(str(data))[0]
    (question,) = suite.questions(item, text_answer(item, "an answer with {prompt} in it"))
    content = question.messages[0]["content"]
    assert "User: first\n" in content
    assert "Assistant: an answer with {prompt} in it\n" in content
    assert (question.samples, question.temperature, question.top_p, question.scale) == (3, 0.5, 0.95, "1-5")


def test_the_rating_is_the_mean_over_all_samples(data: Path) -> None:
    suite = open_suite("voicebench-commoneval")
    items = suite.items(str(data))
    scores = []
    for item, values in zip(items, ([5, 4, 4], [1], []), strict=True):
        answer = text_answer(item, "yes")
        scores += suite.scores(item, answer, judged(suite.questions(item, answer), values))
    # 5 + 4 + 4 + 1 over 4 samples; the third item has none.
    assert summed(suite, scores) == {"rating": 3.5}
    assert {score.item for score in scores} == {"0000", "0001"}


def test_a_prompt_file_is_used_verbatim_and_its_checksum_is_described(data: Path, tmp_path: Path) -> None:
    template = 'Rate {response} to {prompt}, as JSON {"grade": 1}.\r\n'
    file = tmp_path / "prompt.txt"
    file.write_bytes(template.encode())
    suite = open_suite("voicebench-commoneval", prompt_file=str(file))
    item = suite.items(str(data))[0]
    (question,) = suite.questions(item, text_answer(item, "A"))
    assert question.messages == ({"role": "user", "content": 'Rate A to first, as JSON {"grade": 1}.\r\n'},)
    assert suite.describe(str(data), [])["judge_prompt_sha256"] == hashlib.sha256(template.encode()).hexdigest()


def test_a_prompt_file_without_the_response_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Rate {prompt}.")
    with pytest.raises(ValueError, match=r"prompt.txt: expected a prompt with \{response\}"):
        open_suite("voicebench-alpacaeval", prompt_file=str(file))


def test_the_data_are_described_by_checksum_and_rows(data: Path) -> None:
    facts = open_suite("voicebench-commoneval").describe(str(data), [])
    files = sorted((data / "commoneval").iterdir())
    assert facts["sha256"] == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert (facts["rows"], facts["published_rows"]) == (3, 200)


@pytest.mark.parametrize("subset", ["alpacaeval", "alpacaeval_full"])
def test_the_papers_alpaca_value_is_at_both_sets_with_a_note(tmp_path: Path, subset: str) -> None:
    write_parquet(tmp_path / subset / "test-00000-of-00001.parquet", rows("first"))
    suite = open_suite(f"voicebench-{subset}")
    assert suite.metrics[0].paper == {"OpenS2S (paper)": 4.09}
    assert "does not name" in suite.describe(str(tmp_path), [])["note"]


def test_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wildvoice/test-00000-of-00001.parquet"
    write_parquet(path, [*rows("first"), {"audio": {"bytes": None, "path": "b.wav"}, "prompt": "second"}])
    with pytest.raises(ValueError, match=r"test-00000-of-00001.parquet, row 1: expected audio with bytes, got .*b.wav"):
        open_suite("voicebench-wildvoice").items(str(tmp_path))
    write_parquet(path, [{"prompt": "first"}])
    with pytest.raises(ValueError, match=r"columns \['audio'\] are missing, found \['prompt'\]"):
        open_suite("voicebench-wildvoice").items(str(tmp_path))
    with pytest.raises(ValueError, match=r"expected a file, or a directory with commoneval/test-\*.parquet"):
        open_suite("voicebench-commoneval").items(str(tmp_path))


def test_the_published_files_have_prompt_and_response_of_answers_without_error(data: Path, tmp_path: Path) -> None:
    suite = open_suite("voicebench-commoneval")
    items = suite.items(str(data))
    answers = [text_answer(items[2], "three"), Answer(item="0001", error="refused"), text_answer(items[0], "one")]
    path = suite.write_published(items, answers, tmp_path / "out", "family/model")  # type: ignore[attr-defined]
    assert path == tmp_path / "out/family_model-commoneval-test-audio.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"prompt": "first", "response": "one"},
        {"prompt": "third", "response": "three"},
    ]


def test_ifeval_takes_no_prompt_file() -> None:
    with pytest.raises(ValueError, match="ifeval is scored by rule"):
        open_suite("voicebench-ifeval", prompt_file="prompt.txt")
