import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.report import compare
from tests.evaluation.report.small_run import FACTS, WER, HtmlPage, SmallRun, SmallSuite, small_run, with_text


def written(directory: Path, *runs: SmallRun) -> list[Path]:
    paths = [directory / f"run-{number}" for number in range(len(runs))]
    for run, path in zip(runs, paths, strict=True):
        run.report(path)
    return paths


def compared(directory: Path, *runs: SmallRun) -> tuple[dict[str, Any], HtmlPage]:
    comparison = compare(written(directory, *runs), directory / "out")
    assert json.loads((directory / "out/comparison.json").read_text("utf-8")) == comparison
    return comparison, HtmlPage(directory / "out/comparison.html")


def test_runs_stand_beside_each_other_and_the_published_values(tmp_path: Path) -> None:
    better = small_run(30, change=0.5, facts=FACTS | {"model": "better"})
    comparison, page = compared(tmp_path, small_run(30), better)
    assert [run["label"] for run in comparison["runs"]] == ["demo", "better"]
    assert [run["metrics"][0]["value"] for run in comparison["runs"]] == pytest.approx([3.0, 3.5])
    assert comparison["paper"] == {"OpenS2S": {"quality": 4.09}, "Other": {"quality": 3.5}}
    assert "OpenS2S, published 4.09 –" in page.text
    assert comparison["warnings"] == []


def test_the_notes_of_a_run_are_warnings(tmp_path: Path) -> None:
    silent = small_run(30, facts=FACTS | {"model": "silent", "notes": ["The model spoke no reply."]})
    comparison, page = compared(tmp_path, small_run(30), silent)
    assert comparison["warnings"] == ["silent: The model spoke no reply."]
    assert comparison["warnings"][0] in page.text


def test_differences_are_paired(tmp_path: Path) -> None:
    better = small_run(30, change=0.5, facts=FACTS | {"model": "better"})
    comparison, page = compared(tmp_path, small_run(30), better)
    quality, wer = comparison["differences"]
    assert {name: quality[name] for name in ("run", "baseline", "metric", "items")} == {
        "run": "better",
        "baseline": "demo",
        "metric": "quality",
        "items": 30,
    }
    # All items differ by 0.5, however much they vary among themselves.
    assert [quality[name] for name in ("value", "low", "high")] == pytest.approx([0.5] * 3)
    assert [wer[name] for name in ("value", "low", "high")] == [0.0] * 3
    assert "better +0.50 0.50 to 0.50 30 items 0.00" in page.text


@pytest.mark.parametrize(("change", "mark"), [(0.5, "better"), (-0.5, "worse")])
def test_a_difference_whose_interval_does_not_contain_zero_is_marked(change: float, mark: str, tmp_path: Path) -> None:
    _, page = compared(tmp_path, small_run(30), small_run(30, change=change))
    marks = [str(cell["class"]).split()[-1] for cell in page.having("td")]
    assert [each for each in marks if each in ("better", "worse")] == [mark]


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    suite = SmallSuite(metrics=(replace(SmallSuite().metrics[0], higher_is_better=False), WER))
    runs = small_run(9, suite=suite), small_run(9, suite=suite, change=1)
    _, page = compared(tmp_path, *runs)
    assert [cell for cell in page.having("td") if str(cell["class"]).endswith("worse")]


def test_differences_are_over_common_items_and_the_page_warns(tmp_path: Path) -> None:
    comparison, page = compared(tmp_path, small_run(30), small_run(20))
    assert comparison["differences"][0]["items"] == 20
    assert comparison["warnings"] == ["The items differ. demo (1): 30; demo (2): 20; in all runs: 20."]
    assert comparison["warnings"][0] in page.text


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("data_checksum", "sha256:9", "The data checksum differs. demo (1): sha256:4567ef01; demo (2): sha256:9."),
        ("judge", None, "The judge differs. demo (1): model gpt-4o-mini, temperature 0.5; demo (2): none."),
        ("recogniser", "tiny.en", "The recogniser differs. demo (1): whisper-large-v3; demo (2): tiny.en."),
    ],
)
def test_facts_that_differ_are_warned_about(name: str, value: str | None, warning: str, tmp_path: Path) -> None:
    comparison, page = compared(tmp_path, small_run(5), small_run(5, facts=FACTS | {name: value}))
    assert comparison["warnings"] == [warning]
    assert warning in page.text


def test_plots_have_all_runs(tmp_path: Path) -> None:
    _, page = compared(tmp_path, *(small_run(9, facts=FACTS | {"model": f"model-{n}"}) for n in range(8)))
    assert [svg["aria-label"] for svg in page.having("svg")] == ["Judged quality by category", "Word error by category"]
    text = (tmp_path / "out/comparison.html").read_text()
    assert {f"var(--run-{number})" in text.split("<svg", 1)[1] for number in range(1, 7)} == {True}


def test_runs_of_different_suites_are_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, small_run(3), small_run(3, suite=SmallSuite(name="other")))
    with pytest.raises(ValueError, match=r"expected runs of one suite: .*run-0 is of 'small', .*run-1 of 'other'"):
        compare(paths, tmp_path / "out")


def test_runs_with_another_definition_of_a_metric_are_refused(tmp_path: Path) -> None:
    metrics = (SmallSuite().metrics[0], replace(WER, scale=1))
    paths = written(tmp_path, small_run(3), small_run(3, suite=SmallSuite(metrics=metrics)))
    with pytest.raises(ValueError, match=r"one definition of the metric 'wer': .*'scale': 100.*'scale': 1,"):
        compare(paths, tmp_path / "out")


def test_one_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least two runs, got 1"):
        compare(written(tmp_path, small_run(1)), tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no .*run-1/report.json"), ("{", "expected JSON"), ("{}", "expected a report of a run")],
)
def test_a_directory_without_a_report_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    paths = [*written(tmp_path, small_run(1)), tmp_path / "run-1"]
    if content is not None:
        paths[1].mkdir()
        (paths[1] / "report.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        compare(paths, tmp_path / "out")


def test_empty_runs_can_be_compared(tmp_path: Path) -> None:
    comparison, _ = compared(tmp_path, SmallRun(), small_run(3))
    assert comparison["differences"][0] | {"run": "", "baseline": ""} == {
        "run": "",
        "baseline": "",
        "metric": "quality",
        "value": None,
        "low": None,
        "high": None,
        "items": 0,
    }


def test_text_of_others_stays_text(tmp_path: Path) -> None:
    hostile = """</style><script>alert("1")</script>'"><img src=x onerror=alert(1)> \\1"""
    run = with_text(small_run(6), hostile)
    _, page = compared(tmp_path, run, run)
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert page.text.count(hostile) > 10
