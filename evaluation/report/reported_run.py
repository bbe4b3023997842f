"""Runs as their ``report.json`` describes them, to be compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.report.text import fact_text, number_labels, provenance
from evaluation.scores import Score
from evaluation.statistics import Estimate

DEFINITION = ("name", "unit", "scale", "higher_is_better", "average")
"""What makes two metrics the same."""
_NEEDED = ("suite", "facts", "metrics", "items", "questions", "scores")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedRun:
    label: str
    directory: Path
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


def read_reports(directories: Sequence[Path]) -> list[ReportedRun]:
    """Raises ``ValueError`` for fewer than two runs, for runs whose suites or definitions of metrics differ, and for a
    directory without a report."""
    if len(directories) < 2:
        raise ValueError(f"expected at least two runs, got {len(directories)}")
    reports = [_read(directory) for directory in directories]
    labels = number_labels([fact_text(report["facts"]["model"]) for report in reports])
    runs = [
        ReportedRun(label=label, directory=directory, report=report)
        for label, directory, report in zip(labels, directories, reports, strict=True)
    ]
    for run in runs[1:]:
        _check_comparable(runs[0], run)
    return runs


def _read(directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"expected the report of a finished run: there is no {path}") from error
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(report, dict) or not report.keys() >= set(_NEEDED):
        raise ValueError(f"{path}: expected a report of a run, with {', '.join(_NEEDED)}")
    return report


def _check_comparable(first: ReportedRun, other: ReportedRun) -> None:
    suites = first.report["suite"], other.report["suite"]
    if suites[0] != suites[1]:
        raise ValueError(
            f"expected runs of one suite: {first.directory} is of {suites[0]!r}, {other.directory} of {suites[1]!r}"
        )
    definitions = [
        {metric["name"]: {name: metric[name] for name in DEFINITION} for metric in run.report["metrics"]}
        for run in (first, other)
    ]
    for name in dict.fromkeys([*definitions[0], *definitions[1]]):
        defined = [each.get(name, "absent") for each in definitions]
        if defined[0] != defined[1]:
            raise ValueError(
                f"expected one definition of the metric {name!r}: {first.directory} has {defined[0]}, "
                f"{other.directory} has {defined[1]}"
            )


def _estimate(values: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: values[name] for name in ("value", "low", "high", "items", "missing")})
