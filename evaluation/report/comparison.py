"""The comparison of several runs of one suite, from their ``report.json`` alone."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.report.page import category_plots, render
from evaluation.report.text import fact_text, provenance, to_json, write_text
from evaluation.scores import Metric, Score
from evaluation.statistics import Estimate, paired_difference

_COMPARED = ("data_checksum", "judge", "recogniser")
"""Facts that should be equal, or the numbers do not measure the same."""
_DEFINITION = ("name", "unit", "scale", "higher_is_better", "average")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    label: str
    directory: str
    report: Mapping[str, Any]

    def scores(self, metric: str) -> list[Score]:
        return [Score(**score) for score in self.report["scores"] if score["metric"] == metric]

    @property
    def provenance(self) -> list[tuple[str, str]]:
        return provenance(self.report["facts"])

    @property
    def estimates(self) -> list[Estimate]:
        return [_estimate(metric) for metric in self.report["metrics"]]

    @property
    def categories(self) -> list[dict[str, Estimate]]:
        return [
            {name: _estimate(part) for name, part in metric["categories"].items()} for metric in self.report["metrics"]
        ]


def compare(directories: Sequence[Path], output: Path) -> dict[str, Any]:
    """Writes ``comparison.json`` and ``comparison.html`` into the directory ``output``; returns the contents of the
    former. Differences are those of each run from the first one, over the items that have scores in both. The keys of
    ``comparison.json``::

        suite        the name of the suite
        warnings     the notes of the runs, and sentences about facts and items that differ among them
        runs         for each run: label, directory, facts, counts, metrics (as in report.json)
        paper        for each model with published values: metric to value
        differences  for each run but the first, and metric: run and baseline (labels), metric, value, low, high, items

    Raises ``ValueError`` for fewer than two runs, for runs whose suites or definitions of metrics differ, and for a
    directory without a report.
    """
    if len(directories) < 2:
        raise ValueError(f"expected at least two runs, got {len(directories)}")
    reports = [_read(directory) for directory in directories]
    labels = _labels([fact_text(report["facts"]["model"]) for report in reports])
    runs = [
        _Run(label=label, directory=str(directory), report=report)
        for label, directory, report in zip(labels, directories, reports, strict=True)
    ]
    for run in runs[1:]:
        _check_comparable(runs[0], run)
    metrics = [_metric(metric) for metric in reports[0]["metrics"]]
    paper: dict[str, dict[str, float]] = {}
    for metric in metrics:
        for model, value in metric.paper.items():
            paper.setdefault(model, {})[metric.name] = value
    differences = [
        [paired_difference(metric, run.scores(metric.name), runs[0].scores(metric.name)) for metric in metrics]
        for run in runs[1:]
    ]
    comparison = {
        "suite": reports[0]["suite"],
        "warnings": _warnings(runs),
        "runs": [
            {"label": run.label, "directory": run.directory}
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
    }
    page = render(
        "comparison.html",
        suite=reports[0]["suite"],
        warnings=comparison["warnings"],
        runs=runs,
        metrics=metrics,
        paper=paper,
        differences=list(zip(runs[1:], differences, strict=True)),
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


def _read(directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"expected the report of a finished run: there is no {path}") from error
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(report, dict) or not report.keys() >= {"suite", "facts", "metrics", "items", "scores"}:
        raise ValueError(f"{path}: expected a report of a run, with suite, facts, metrics, items and scores")
    return report


def _labels(models: Sequence[str]) -> list[str]:
    """The models, numbered where one occurs several times."""
    counts, seen = Counter(models), Counter[str]()
    labels = []
    for model in models:
        seen[model] += 1
        labels.append(f"{model} ({seen[model]})" if counts[model] > 1 else model)
    return labels


def _check_comparable(first: _Run, other: _Run) -> None:
    suites = first.report["suite"], other.report["suite"]
    if suites[0] != suites[1]:
        raise ValueError(
            f"expected runs of one suite: {first.directory} is of {suites[0]!r}, {other.directory} of {suites[1]!r}"
        )
    definitions = [
        {metric["name"]: {name: metric[name] for name in _DEFINITION} for metric in run.report["metrics"]}
        for run in (first, other)
    ]
    for name in dict.fromkeys([*definitions[0], *definitions[1]]):
        defined = [each.get(name, "absent") for each in definitions]
        if defined[0] != defined[1]:
            raise ValueError(
                f"expected one definition of the metric {name!r}: {first.directory} has {defined[0]}, "
                f"{other.directory} has {defined[1]}"
            )


def _warnings(runs: Sequence[_Run]) -> list[str]:
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
    return Metric(title=values["title"], paper=values["paper"], **{name: values[name] for name in _DEFINITION})


def _estimate(values: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: values[name] for name in ("value", "low", "high", "items", "missing")})
