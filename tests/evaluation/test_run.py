"""A run is finished whatever happens in between, and does nothing twice."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.items import Item, Turn, items_checksum
from evaluation.run import EvaluationConfig, model_name, run_evaluation, sampled
from tests.evaluation.chat_endpoint import ChatEndpoint, Sent, completion, last_text, pcm, refusal, stream
from tests.evaluation.small_run import SmallSuite, use_small_parts

ITEMS = 12


def number_in(body: dict[str, Any]) -> int:
    found = re.search(r"\d+", last_text(body))
    assert found is not None
    return int(found[0])


def respond(body: dict[str, Any]) -> Sent:
    """The model replies to item n with 100 + n samples; the judge gives 100 + n samples the score 1 + n modulo 5."""
    number = number_in(body)
    if body["model"] == "judge":
        return replace(completion(f"Score: {1 + (number - 100) % 5}"), delay=0.05)
    samples = np.full(100 + number, 0.25, np.float32)
    return stream({"audio": {"transcript": f"reply {number}", "data": pcm(samples)}}, delay=0.05)


@pytest.fixture
def endpoint() -> ChatEndpoint:
    return ChatEndpoint(respond)


@pytest.fixture
def url(endpoint: ChatEndpoint) -> Iterator[str]:
    with endpoint.serving() as url:
        yield url


@pytest.fixture
def config(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluationConfig:
    use_small_parts(monkeypatch, tmp_path / "run.log")
    output, judge = tmp_path / "run", f"openai:{url}/v1#judge"
    return EvaluationConfig(suite="small", data=str(ITEMS), model=url, output=output, judge=judge)


def values(report: dict[str, Any]) -> dict[str, float | None]:
    return {metric["name"]: metric["value"] for metric in report["metrics"]}


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"facts": {name: value for name, value in report["facts"].items() if name != "date"}}


def test_a_run_is_answered_transcribed_judged_and_scored(config: EvaluationConfig, endpoint: ChatEndpoint) -> None:
    report = run_evaluation(config)
    numbers = range(ITEMS)
    assert values(report) == {
        "judged": pytest.approx(sum(1 + number % 5 for number in numbers) / ITEMS),
        "length": len("100 samples"),
    }
    assert report == json.loads((config.output / "report.json").read_text())
    facts = report["facts"]
    assert facts["model_fingerprint"] == {"model": "first"}
    assert (facts["judge"], facts["recogniser"]) == ("judge", "counting")
    assert facts["data_checksum"] == items_checksum(SmallSuite().items(str(ITEMS)))
    assert Counter(body["model"] for body in endpoint.requests) == {"first": ITEMS, "judge": 2 * ITEMS}


def test_a_finished_run_requests_nothing_and_has_the_same_report(
    config: EvaluationConfig, endpoint: ChatEndpoint
) -> None:
    first = run_evaluation(config)
    endpoint.requests.clear()
    assert run_evaluation(config) == first
    assert endpoint.requests == []
    assert len((config.output.with_suffix(".log")).read_text().splitlines()) == ITEMS


def start(config: EvaluationConfig) -> subprocess.Popen[bytes]:
    settings = {name: getattr(config, name) for name in ("suite", "data", "model", "judge")}
    arguments = json.dumps(settings | {"output": str(config.output)})
    return subprocess.Popen([sys.executable, "-m", "tests.evaluation.small_run", arguments])


def kill_when(process: subprocess.Popen[bytes], file: Path, rows: int) -> list[dict[str, Any]]:
    """Ends ``process`` when ``file`` has ``rows``; returns those that are whole then."""
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_bytes().count(b"\n") >= rows):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    time.sleep(0.2)  # until the server has taken what it sent last
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def test_a_killed_run_repeats_no_finished_row_and_has_the_report_of_one_that_was_not(
    config: EvaluationConfig, endpoint: ChatEndpoint, tmp_path: Path
) -> None:
    answers = kill_when(start(config), config.output / "answers.jsonl", 4)
    assert 4 <= len(answers) < ITEMS
    endpoint.requests.clear()
    judged = kill_when(start(config), config.output / "judgements.jsonl", 5)
    assert 5 <= len(judged) < 2 * ITEMS
    answered = {row["item"] for row in answers}
    repeated = {f"item-{number_in(body)}" for body in endpoint.requests if body["model"] == "first"}
    assert repeated == {f"item-{number}" for number in range(ITEMS)} - answered
    endpoint.requests.clear()
    report = run_evaluation(config)
    assert {body["model"] for body in endpoint.requests} == {"judge"}
    asked = Counter(f"item-{number_in(body) - 100}" for body in endpoint.requests)
    found = Counter(row["question"] for row in judged)
    assert asked == +Counter({f"item-{number}": 2 - found[f"item-{number}"] for number in range(ITEMS)})
    whole = run_evaluation(replace(config, output=tmp_path / "other"))
    assert comparable(report) == comparable(whole)


def test_what_failed_is_tried_again_at_the_next_start(config: EvaluationConfig, endpoint: ChatEndpoint) -> None:
    def trouble(body: dict[str, Any]) -> Sent:
        return refusal(400, "no") if body["model"] == "first" and number_in(body) == 3 else respond(body)

    endpoint.respond = trouble
    failed = run_evaluation(config)
    assert failed["counts"]["answered"] == ITEMS - 1
    [failure] = failed["failures"]
    assert (failure["item"], failure["kind"]) == ("item-3", "answer")
    assert "no" in failure["reason"]
    endpoint.respond = respond
    endpoint.requests.clear()
    assert run_evaluation(config)["counts"]["answered"] == ITEMS
    assert {number_in(body) % 100 for body in endpoint.requests} == {3}


def test_another_run_in_the_same_directory_is_refused(config: EvaluationConfig, url: str) -> None:
    run_evaluation(config)
    for other, difference in (
        (replace(config, data="13"), f"data.rows was {ITEMS} and is 13"),
        (replace(config, model=f"{url}#other"), 'model_fingerprint.model was "first" and is "other"'),
        (replace(config, judge=f"openai:{url}#another"), 'judge was "judge" and is "another"'),
        (replace(config, seed=1), "seed was 0 and is 1"),
        (replace(config, limit=3), "limit was null and is 3"),
    ):
        with pytest.raises(ValueError, match="is another run") as refused:
            run_evaluation(other)
        assert difference in str(refused.value)


def test_answers_are_judged_by_a_judge_that_comes_later(config: EvaluationConfig, endpoint: ChatEndpoint) -> None:
    unjudged = run_evaluation(replace(config, judge=""))
    assert values(unjudged)["judged"] is None
    [note] = unjudged["facts"]["notes"]
    assert note.startswith("No judge was given")
    assert note in (config.output / "report.html").read_text()
    endpoint.requests.clear()
    judged = run_evaluation(config)
    assert values(judged)["judged"] is not None
    assert "notes" not in judged["facts"]
    assert {body["model"] for body in endpoint.requests} == {"judge"}


def test_a_spoken_suite_notes_that_a_model_does_not_speak(config: EvaluationConfig, endpoint: ChatEndpoint) -> None:
    endpoint.respond = lambda body: completion("Score: 1" if body["model"] == "judge" else "A written reply.")
    [note] = run_evaluation(config)["facts"]["notes"]
    assert note.startswith("The model spoke no reply")


def test_two_processes_do_not_work_on_one_run(config: EvaluationConfig) -> None:
    running = start(config)
    try:
        deadline = time.monotonic() + 120
        while not (config.output / "answers.jsonl").exists():
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(ValueError, match="another process"):
            run_evaluation(config)
    finally:
        running.kill()
        running.wait()


def items(count: int) -> list[Item]:
    return [Item(id=str(number), turns=(Turn(text="x"),)) for number in range(count)]


def test_a_limit_is_a_seeded_sample_in_order() -> None:
    ids: Callable[[int | None, int], list[int]] = lambda limit, seed: [  # noqa: E731
        int(item.id) for item in sampled(items(100), limit, seed)
    ]
    assert ids(None, 0) == ids(1000, 7) == list(range(100))
    assert len(ids(20, 0)) == 20
    assert ids(20, 0) == sorted(ids(20, 0)) == ids(20, 0)
    assert ids(20, 0) != ids(20, 1)
    assert ids(20, 0) != list(range(20))
    assert set(ids(10, 0)) < set(ids(20, 0))


def test_a_run_of_a_sample_answers_it_alone(config: EvaluationConfig, endpoint: ChatEndpoint) -> None:
    report = run_evaluation(replace(config, limit=4))
    chosen = {item.id for item in sampled(items(ITEMS), 4, 0)}
    assert set(report["items"]) == {f"item-{id}" for id in chosen}
    assert {str(number_in(body)) for body in endpoint.requests if body["model"] == "first"} == chosen


def test_items_need_unique_ids() -> None:
    with pytest.raises(ValueError, match="1 ids are those of several items, first '0'"):
        sampled([*items(2), *items(1)], None, 0)


def test_a_limit_takes_both_items_of_a_pair() -> None:
    paired = [replace(item, labels={"pair": str(int(item.id) % 10)}) for item in items(20)]
    for limit, count in ((1, 2), (2, 2), (3, 4), (19, 20), (50, 20)):
        drawn = sampled(paired, limit, 0)
        assert len(drawn) == count
        assert set(Counter(item.labels["pair"] for item in drawn).values()) == {2}
    assert {item.id for item in sampled(paired, 4, 0)} < {item.id for item in sampled(paired, 8, 0)}


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("http://host:8000/v1", "host:8000"),
        ("https://host/v1/#org/model", "org/model"),
        ("http://host", "host"),
        ("runs/demo/export/", "export"),
    ],
)
def test_a_model_is_named_by_its_endpoint_or_its_path(spec: str, name: str) -> None:
    assert model_name(spec) == name
