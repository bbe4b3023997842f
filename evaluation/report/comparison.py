"""The comparison of several runs of one suite, from their ``report.json`` and ``judgements.jsonl``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.report.page import category_plots, render
from evaluation.report.reported_run import DEFINITION, ReportedRun, read_reports
from evaluation.report.text import fact_text, to_json, write_text
from evaluation.scores import Metric
from evaluation.statistics import paired_difference

_COMPARED = ("data_checksum", "judge", "recogniser")
"""Facts that should be equal, or the numbers do not measure the same."""


def compare(directories: Sequence[Path], output: Path) -> dict[str, Any]:
    """Writes ``comparison.json`` and ``comparison.html`` into the directory ``output``; returns the contents of the
    former. Differences are those of each run from the first one, over the items that have scores in both. The keys of
    ``comparison.json``::

        suite        the name of the suite
        warnings     the notes of the runs, and sentences about facts and items that differ among them
        runs         for each run: label, directory, facts, counts, metrics (as in report.json)
        paper        for each model with published values: metric to value
        differences  for each run but the first, and metric: run and baseline (labels), metric, value, low, high, items
        agreements   for each two runs whose judges were asked the same about the same answers, and scale: runs
                     (labels), judges, and found: scale, judgements, unmatched; exact, kappa, within_one, pearson,
                     spearman: value, low, high (null: not of this scale), as in evaluation.judges.agreement

    Raises ``ValueError`` for fewer than two runs, for runs whose suites or definitions of metrics differ, and for a
    directory without a report.
    """
    from evaluation.report.judge_agreement import judge_agreements  # scikit-learn takes a second

    runs = read_reports(directories)
    suite = runs[0].report["suite"]
    metrics = [_metric(metric) for metric in runs[0].report["metrics"]]
    paper: dict[str, dict[str, float]] = {}
    for metric in metrics:
        for model, value in metric.paper.items():
            paper.setdefault(model, {})[metric.name] = value
    differences = [
        [paired_difference(metric, run.scores(metric.name), runs[0].scores(metric.name)) for metric in metrics]
        for run in runs[1:]
    ]
    agreements = judge_agreements(runs)
    comparison = {
        "suite": suite,
        "warnings": _warnings(runs),
        "runs": [
            {"label": run.label, "directory": str(run.directory)}
            | {name: run.report[name] for name in ("facts", "counts", "metrics")}
            for run in runs
        ],
        "paper": paper,
        "differences": [
            {"run": run.label, "baseline": runs[0].label, "metric": metric.name}
            | {name: value for name, value in asdict(difference).items() if name != "missing"}
            for run, row in zip(runs[1:], differences, strict=True)
            for metric, difference in zip(metrics, row, strict=True)
        ],
        "agreements": [
            {"runs": list(each.runs), "judges": list(each.judges), "found": asdict(each.found)} for each in agreements
        ],
    }
    page = render(
        "comparison.html",
        suite=suite,
        warnings=comparison["warnings"],
        runs=runs,
        metrics=metrics,
        paper=paper,
        differences=list(zip(runs[1:], differences, strict=True)),
        agreements=agreements,
        plots=category_plots(
            metrics,
            list(zip(*(run.estimates for run in runs), strict=True)),
            list(zip(*(run.categories for run in runs), strict=True)),
        ),
    )
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "comparison.json", to_json(comparison))
    write_text(output / "comparison.html", page)
    return comparison


def _warnings(runs: Sequence[ReportedRun]) -> list[str]:
    warnings = [f"{run.label}: {note}" for run in runs for note in run.report["facts"].get("notes", ())]
    for name in _COMPARED:
        values = [run.report["facts"][name] for run in runs]
        if any(value != values[0] for value in values):
            by_run = "; ".join(f"{run.label}: {fact_text(value)}" for run, value in zip(runs, values, strict=True))
            warnings.append(f"The {name.replace('_', ' ')} differs. {by_run}.")
    items = [set(run.report["items"]) for run in runs]
    if any(each != items[0] for each in items):
        by_run = "; ".join(f"{run.label}: {len(each):,}" for run, each in zip(runs, items, strict=True))
        warnings.append(f"The items differ. {by_run}; in all runs: {len(set.intersection(*items)):,}.")
    return warnings


def _metric(values: Mapping[str, Any]) -> Metric:
    return Metric(title=values["title"], paper=values["paper"], **{name: values[name] for name in DEFINITION})
