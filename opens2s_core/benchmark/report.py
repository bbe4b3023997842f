"""Benchmark reports: measurements with their bounds, the commit, the machine and the settings."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """The limit of a measurement, in its unit."""

    relation: Literal["at most", "at least"]
    limit: float

    def holds(self, value: float | None) -> bool:
        """Whether the value is within the limit; False if it was not measured."""
        if value is None:
            return False
        return value <= self.limit if self.relation == "at most" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The same measurement with other code, in the same run."""

    value: float | None
    spread: Interval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One row of a report. ``value`` is None if it could not be measured; ``interval`` is its 95 % confidence interval,
    ``spread`` the interquartile range of the samples. ``better`` is the direction of an improvement."""

    name: str
    value: float | None
    unit: str
    bound: Bound | None = None
    interval: Interval | None = None
    spread: Interval | None = None
    better: Literal["lower", "higher"] | None = None
    baseline: Baseline | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.bound is None else self.bound.holds(self.value)

    @property
    def ratio(self) -> float | None:
        """Ratio of the value to that of the baseline."""
        if self.baseline is None or not self.baseline.value or self.value is None:
            return None
        return self.value / self.baseline.value

    @property
    def worse(self) -> bool | None:
        """Whether it is worse than the baseline by more than the spread of both; None if unknown."""
        if self.baseline is None or self.better is None or self.baseline.value is None:
            return None
        if self.value is None:
            return True
        low, high = self.spread or (self.value, self.value)
        baseline_low, baseline_high = self.baseline.spread or (self.baseline.value, self.baseline.value)
        return low > baseline_high if self.better == "lower" else high < baseline_low

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "bound": None if self.bound is None else str(self.bound),
            "holds": self.holds,
            "interval": self.interval,
        }
        if self.spread is not None:
            row["spread"] = self.spread
        if self.baseline is not None:
            compared = {"ratio": self.ratio, "worse": self.worse}
            row["baseline"] = {"value": self.baseline.value, "spread": self.baseline.spread, **compared}
        return row


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    commit: str | None
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    rows: tuple[Measurement, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "commit": self.commit,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "config": dict(self.config),
            "rows": [row.to_dict() for row in self.rows],
        }


def middle_half(values: Sequence[float]) -> Interval | None:
    """The interquartile range of samples; None of fewer than two."""
    if len(values) < 2:
        return None
    low, high = np.percentile(values, (25, 75))
    return float(low), float(high)


def make_report(config: Mapping[str, Any], rows: Iterable[Measurement], packages: Iterable[str] = ()) -> Report:
    """A report of rows measured with ``config`` on this machine; ``packages`` are further ones that affect the
    values."""
    versions = {"python": platform.python_version()}
    versions |= {package: version(package) for package in ("torch", "transformers", "numpy", *packages)}
    return Report(commit=current_commit(), machine=describe_machine(), versions=versions, config=config, rows=(*rows,))


def write_report(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


_HEADER = (
    "what",
    "value",
    "95 % interval",
    "spread",
    "baseline",
    "its spread",
    "ratio",
    "worse",
    "unit",
    "bound",
    "holds",
)


def table_cells(report: Report) -> list[tuple[str, ...]]:
    """The cells of the table, header first, without empty columns."""
    rows = [_cells(row) for row in report.rows]
    filled = [any(row[column] for row in rows) for column in range(len(_HEADER))]
    return [tuple(compress(row, filled)) for row in (_HEADER, *rows)]


def render_table(report: Report) -> str:
    """The table as aligned text for the terminal."""
    cells = table_cells(report)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cells(row: Measurement) -> tuple[str, ...]:
    return (
        row.name,
        _number_or_not(row.value),
        _range(row.interval),
        _range(row.spread),
        "" if row.baseline is None else _number_or_not(row.baseline.value),
        "" if row.baseline is None else _range(row.baseline.spread),
        "" if row.ratio is None else _number(row.ratio),
        "" if row.worse is None else "WORSE" if row.worse else "no",
        row.unit,
        "" if row.bound is None else str(row.bound),
        "" if row.holds is None else "yes" if row.holds else "NO",
    )


def _number_or_not(value: float | None) -> str:
    return "not measured" if value is None else _number(value)


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{_number(interval[0])} to {_number(interval[1])}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def current_commit(checkout: Path | None = None) -> str | None:
    """The commit of this code, or of another checkout, followed by ``, changed`` if files differ from the commit.

    None if the code is not under version control, for example in an installed package, or without git.
    """
    here = Path(__file__) if checkout is None else checkout / "pyproject.toml"
    # Otherwise a package installed inside another repository would report the commit of that repository.
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
    """The properties of the machine that affect timings, without its identity."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _cpu_info("model name") or platform.processor(),
        "vector_extensions": _vector_extensions(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _vector_extensions() -> str:
    """Vector extensions of the CPU for float32 and bfloat16 arithmetic."""
    flags = (_cpu_info("flags") or "").split()
    return " ".join(flag for flag in flags if flag.startswith(("avx", "amx", "fma")))


def _cpu_info(key: str) -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.partition(":")[0].strip() == key:
                return line.partition(":")[2].strip()
    return None
