"""Two runs are compared by a judge, from their directories alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.identity import RUN
from evaluation.judges.asking import BudgetReached
from evaluation.judges.costs import Budget
from evaluation.pairwise_run import PairwiseRunConfig, plan_pairwise, run_pairwise
from evaluation.run import EvaluationConfig, run_evaluation
from tests.evaluation.chat_endpoint import ChatEndpoint, Sent, completion, last_text
from tests.evaluation.report.small_run import HtmlPage
from tests.evaluation.small_run import use_small_parts

ITEMS = 6


def respond(body: dict[str, Any]) -> Sent:
    """The model "first" replies 3 to item n, the model "other" n; the judge prefers the greater number."""
    text = last_text(body)
    if body["model"] == "judge":
        first, second = (int(number) for number in re.findall(r"Assistant: reply (\d+)", text))
        return completion("Equal.\n[[C]]" if first == second else f"Greater.\n[[{'A' if first > second else 'B'}]]")
    number = text.strip("<>")
    return completion(f"reply {3 if body['model'] == 'first' else number}")


@pytest.fixture
def endpoint() -> ChatEndpoint:
    return ChatEndpoint(respond)


@pytest.fixture
def url(endpoint: ChatEndpoint) -> Iterator[str]:
    with endpoint.serving() as url:
        yield url


@pytest.fixture
def config(url: str, endpoint: ChatEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PairwiseRunConfig:
    """Of two finished runs."""
    use_small_parts(monkeypatch, tmp_path / "run.log")
    for model in ("first", "other"):
        run_evaluation(
            EvaluationConfig(suite="small", data=str(ITEMS), model=f"{url}#{model}", output=tmp_path / model)
        )
    endpoint.requests.clear()
    return PairwiseRunConfig(
        first=tmp_path / "first", second=tmp_path / "other", output=tmp_path / "paired", judge=f"openai:{url}/v1#judge"
    )


def test_each_item_is_judged_in_both_orders(config: PairwiseRunConfig, endpoint: ChatEndpoint) -> None:
    report = run_pairwise(config)
    assert report["outcomes"] == {
        "item-0": "win",
        "item-1": "win",
        "item-2": "win",
        "item-3": "tie",
        "item-4": "loss",
        "item-5": "loss",
    }
    shares = [report[name]["value"] for name in ("wins", "ties", "losses", "position_bias")]
    assert shares == pytest.approx([3 / 6, 1 / 6, 2 / 6, 0])
    assert report["wins"]["low"] < 0.5 < report["wins"]["high"]
    assert report["counts"] | {"judgements": 0} == {
        "judged": ITEMS,
        "unjudged": 0,
        "unanswered": 0,
        "judgements": 0,
        "judgements_without_value": 0,
    }
    assert len(endpoint.requests) == 2 * ITEMS
    assert json.loads((config.output / "pairwise.json").read_text()) == report
    assert report["facts"] == json.loads((config.output / RUN).read_text())


def test_the_page_has_both_replies_and_the_words_of_the_judge_in_both_orders(config: PairwiseRunConfig) -> None:
    first, other = run_pairwise(config)["labels"]
    text = HtmlPage(config.output / "pairwise.html").text
    assert f"Wins of {first} 50.00 % 95 % interval" in text
    assert (
        f"item-5 {other} wins User <5> {first} reply 3 {other} reply 5 "
        f"{first} as A, {other} as B: prefers {other} Greater. [[B]] "
        f"{other} as A, {first} as B: prefers {other} Greater. [[A]]"
    ) in text
    assert f"{first} as A, {other} as B: prefers neither Equal. [[C]]" in text


def test_what_was_judged_is_not_asked_for_again(config: PairwiseRunConfig, endpoint: ChatEndpoint) -> None:
    endpoint.respond = lambda body: completion("?") if "<4>" in last_text(body) else respond(body)
    failed = run_pairwise(config)
    assert failed["counts"]["unjudged"] == 1
    assert failed["failures"].startswith("2 of 12 judgements failed")
    endpoint.respond = respond
    endpoint.requests.clear()
    assert run_pairwise(config)["counts"]["judged"] == ITEMS
    assert ["<4>" in last_text(body) for body in endpoint.requests] == [True, True]


def test_a_budget_bounds_it(config: PairwiseRunConfig, endpoint: ChatEndpoint) -> None:
    with pytest.raises(BudgetReached, match="12 judgements are left"):
        run_pairwise(replace(config, budget=Budget(tokens=10)))
    assert endpoint.requests == []


def test_a_plan_asks_nobody(config: PairwiseRunConfig, endpoint: ChatEndpoint) -> None:
    plan = plan_pairwise(replace(config, judge=""))
    assert plan.startswith("6 items in both orders\n12 answers of a judge: ")
    assert endpoint.requests == []
    assert not config.output.exists()


def test_items_without_an_answer_in_one_run_are_counted(config: PairwiseRunConfig) -> None:
    answers = config.second / "answers.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    rows[0] |= {"replies": [], "error": "timed out"}
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run_pairwise(config)
    assert (report["counts"]["judged"], report["counts"]["unanswered"]) == (ITEMS - 1, 1)
    assert rows[0]["item"] not in report["outcomes"]


def test_transcripts_are_judged_where_the_suite_reads_them_and_all_replies_are_spoken(
    config: PairwiseRunConfig, endpoint: ChatEndpoint
) -> None:
    for run in (config.first, config.second):
        rows = [{"item": f"item-{number}", "turn": 0, "transcript": f"reply {number}"} for number in range(ITEMS)]
        (run / "transcripts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run_pairwise(config)
    assert report["facts"]["judged"] == "transcript"
    assert report["ties"]["value"] == 1  # only the texts differ
    assert "the recogniser's transcripts" in HtmlPage(config.output / "pairwise.html").text


def change_facts(run: Path, **facts: Any) -> None:
    path = run / RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize(
    ("fact", "difference"), [("suite", 'suite was "small" and is "x"'), ("data_checksum", 'and is "x"')]
)
def test_runs_that_were_not_asked_the_same_are_refused(config: PairwiseRunConfig, fact: str, difference: str) -> None:
    change_facts(config.second, **{fact: "x"})
    with pytest.raises(ValueError, match=f"expected runs of one suite over the same data: .*{fact} was") as refused:
        run_pairwise(config)
    assert difference in str(refused.value)


def test_data_that_changed_or_moved_are_refused_and_may_be_named(config: PairwiseRunConfig) -> None:
    with pytest.raises(ValueError, match="5: expected the items of the runs, checksum"):
        run_pairwise(replace(config, data="5"))
    change_facts(config.first, data_path="")
    with pytest.raises(ValueError, match="does not note where its data are, expected them by --data"):
        run_pairwise(config)
    assert run_pairwise(replace(config, data=str(ITEMS)))["counts"]["judged"] == ITEMS


def test_other_runs_into_the_same_directory_are_refused(config: PairwiseRunConfig) -> None:
    run_pairwise(config)
    with pytest.raises(ValueError, match=r'first\.model_fingerprint\.model was "first" and is "other"'):
        run_pairwise(replace(config, first=config.second))


def test_a_directory_that_is_no_run_is_refused(config: PairwiseRunConfig) -> None:
    run_pairwise(config)
    with pytest.raises(ValueError, match="expected the run of a model by a suite; absent: options"):
        run_pairwise(replace(config, first=config.output))
    with pytest.raises(ValueError, match=r"none/run\.json"):
        run_pairwise(replace(config, first=config.first / "none"))
