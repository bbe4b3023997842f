"""What every benchmark reports: rows of numbers, what they must hold, and where and from what they came."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a row promises to keep, in the row's unit."""

    relation: Literal["at most", "at least"]
    limit: float

    def holds(self, value: float | None) -> bool:
        """A value that could not be measured does not hold."""
        if value is None:
            return False
        return value <= self.limit if self.relation == "at most" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number. ``value`` is None where there was nothing to measure; ``interval`` holds it with 95 % confidence."""

    name: str
    value: float | None
    unit: str
    bound: Bound | None = None
    interval: Interval | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.bound is None else self.bound.holds(self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "bound": None if self.bound is None else str(self.bound),
            "holds": self.holds,
            "interval": self.interval,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    commit: str | None
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "commit": self.commit,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "config": dict(self.config),
            "rows": [row.to_dict() for row in self.rows],
        }


def make_report(config: Mapping[str, Any], rows: Iterable[Row], packages: Iterable[str] = ()) -> Report:
    """Rows measured here and now with ``config``; ``packages`` are those that decide the numbers beside torch."""
    versions = {"python": platform.python_version()}
    versions |= {package: version(package) for package in ("torch", "transformers", "numpy", *packages)}
    return Report(commit=current_commit(), machine=describe_machine(), versions=versions, config=config, rows=(*rows,))


def write_report(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


_HEADER = ("what", "value", "95 % interval", "unit", "bound", "holds")


def table_cells(report: Report) -> list[tuple[str, ...]]:
    """The table as text, its header first."""
    return [_HEADER, *(_cells(row) for row in report.rows)]


def render_table(report: Report) -> str:
    """For the terminal."""
    cells = table_cells(report)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        "not measured" if row.value is None else _number(row.value),
        "" if row.interval is None else f"{_number(row.interval[0])} to {_number(row.interval[1])}",
        row.unit,
        "" if row.bound is None else str(row.bound),
        "" if row.holds is None else "yes" if row.holds else "NO",
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def current_commit() -> str | None:
    """The commit this code runs from, followed by ``, changed`` where its files are not those of the commit.

    None where the code is not under version control: installed as a package, say, or without git.
    """
    here = Path(__file__)
    # Without this, a package installed inside some other repository would report that one's commit.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{_git(here.parent, 'rev-parse', 'HEAD')}{', changed' if changed else ''}"


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", directory, *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def describe_machine() -> dict[str, Any]:
    """What a number of seconds depends on; nothing that tells whose machine it is."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
