"""Judges of the same answers are compared by their judgements."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.judges.agreement import agreement
from evaluation.report import compare
from tests.evaluation.report.small_run import FACTS, HtmlPage, SmallRun, small_run


def compared(directory: Path, *runs: SmallRun) -> tuple[dict[str, Any], HtmlPage]:
    paths = [directory / f"run-{number}" for number in range(len(runs))]
    for run, path in zip(runs, paths, strict=True):
        run.report(path)
        rows = (json.dumps(asdict(judgement)) + "\n" for judgement in run.judgements())
        (path / "judgements.jsonl").write_text("".join(rows))
    comparison = compare(paths, directory / "out")
    assert json.loads((directory / "out/comparison.json").read_text()) == comparison
    return comparison, HtmlPage(directory / "out/comparison.html")


def judged_by(name: str, *, lower: int) -> SmallRun:
    """The first ``lower`` of 12 items are judged one lower."""
    run = small_run(12, facts=FACTS | {"judge": name})
    values = dict(run.values)
    for item in list(values)[:lower]:
        one, other = values[item]
        assert one is not None
        assert other is not None
        values[item] = one - 1, other - 1
    run.values = values
    return run


def test_two_judges_of_the_same_answers_are_compared(tmp_path: Path) -> None:
    runs = judged_by("one", lower=0), judged_by("two", lower=3)
    comparison, page = compared(tmp_path, *runs)
    [found] = comparison["agreements"]
    assert (found["runs"], found["judges"]) == (["demo (1)", "demo (2)"], ["one", "two"])
    assert found["found"]["exact"]["value"] == 9 / 12
    assert found["found"]["within_one"]["value"] == 1
    [expected] = agreement(runs[0].questions(), runs[0].judgements(), runs[1].judgements())
    assert found["found"] == asdict(expected)
    assert "Agreement of judges" in page.text
    assert "one and two, scale 1-5 of demo (1) and demo (2) 12 0.75" in page.text


def test_judgements_without_a_value_in_one_run_are_unmatched(tmp_path: Path) -> None:
    other = judged_by("two", lower=0)
    other.values = dict(other.values) | {"item-00003": (None, None)}
    comparison, page = compared(tmp_path, judged_by("one", lower=0), other)
    [found] = comparison["agreements"]
    assert (found["found"]["judgements"], found["found"]["unmatched"]) == (11, 1)
    assert "1 without a value of both" in page.text


def test_every_two_of_several_runs_are_compared(tmp_path: Path) -> None:
    comparison, _ = compared(tmp_path, *(judged_by(name, lower=0) for name in ("one", "two", "three")))
    assert [each["judges"] for each in comparison["agreements"]] == [["one", "two"], ["one", "three"], ["two", "three"]]


@pytest.mark.parametrize("changed", [0, 11])
def test_judges_of_different_answers_are_not_compared(changed: int, tmp_path: Path) -> None:
    other = judged_by("two", lower=0)
    reply = replace(other.answers[changed].replies[0], text="Another reply.")
    other.answers[changed] = replace(other.answers[changed], replies=(reply,))
    comparison, page = compared(tmp_path, judged_by("one", lower=0), other)
    assert comparison["agreements"] == []
    assert "Agreement of judges" not in page.text


def test_a_run_without_judgements_is_not_compared(tmp_path: Path) -> None:
    other = judged_by("two", lower=0)
    other.values = {}
    comparison, _ = compared(tmp_path, judged_by("one", lower=0), other)
    assert comparison["agreements"] == []
