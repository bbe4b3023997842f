"""Metrics by category, as SVG for an HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import east_asian_width

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_pipeline.report_plots import ACCENT, LINE, MUTED, STYLE, VARIABLES, WIDTH, svg
from evaluation.report.text import interval, number
from evaluation.statistics import Estimate

RUN_COLOURS = 6
"""Runs beyond the sixth have the colours of the first ones, with other markers."""
_RUNS = {f"#1{number}1{number}1{number}": f"--run-{number}" for number in range(1, RUN_COLOURS + 1)}
_MARKERS = "oDs^v"
_LINE = 0.22  # inches

_LABEL = 26
"""Columns of text for a label beside numbers; a Chinese character has two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryEstimates:
    """A label and the estimate of each run, None where it has none."""

    label: str
    estimates: tuple[Estimate | None, ...]


def plot_categories(name: str, title: str, rows: Sequence[CategoryEstimates]) -> str:
    """Values as points and intervals as lines, from top to bottom, on one axis. Of one run the numbers are written
    beside the label."""
    runs = len(rows[0].estimates)
    colours = [ACCENT] if runs == 1 else [list(_RUNS)[run % RUN_COLOURS] for run in range(runs)]
    height = 1.25 + max(1, 0.7 * runs)  # lines of a row
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, _LINE * (height * len(rows) + 1.6)))
        ax = figure.add_axes((0.01, 1.6 / (height * len(rows) + 1.6), 0.98, 1 - 1.6 / (height * len(rows) + 1.6)))
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_yticks([])
        ax.set_ylim(height * len(rows), 0)
        ax.set_xlim(*_limits(rows))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_axisbelow(True)
        for place, row in enumerate(rows):
            top = height * place
            label = _cut(row.label, _LABEL if runs == 1 else 2 * _LABEL)
            ax.text(0, top + 0.95, label, transform=ax.get_yaxis_transform())
            if runs == 1 and (only := row.estimates[0]) is not None:
                text = f"{number(only.value)} ({interval(only.low, only.high)}), {only.items:,}"
                ax.text(1, top + 0.95, text, ha="right", color=MUTED, transform=ax.get_yaxis_transform())
            ax.axhspan(top + 1.25, top + height - 0.05, color=LINE, alpha=0.35, linewidth=0)
            for run, estimate in enumerate(row.estimates):
                if estimate is None or estimate.value is None:
                    continue
                y = top + 1.2 + (run + 0.5) * (height - 1.25) / runs
                if estimate.low is not None and estimate.high is not None:
                    ax.plot([estimate.low, estimate.high], [y, y], color=colours[run], linewidth=2.4, alpha=0.55)
                marker = _MARKERS[run // RUN_COLOURS % len(_MARKERS)]
                ax.plot([estimate.value], [y], marker, color=colours[run], markersize=7)
        for tick in ax.get_xticks():
            ax.axvline(tick, color=LINE, linewidth=0.8, zorder=0)
        return svg(figure, name, title, VARIABLES | _RUNS)


def _limits(rows: Sequence[CategoryEstimates]) -> tuple[float, float]:
    estimates = [estimate for row in rows for estimate in row.estimates if estimate is not None]
    bounds = [bound for each in estimates for bound in (each.low, each.value, each.high) if bound is not None]
    low, high = min(bounds, default=0.0), max(bounds, default=1.0)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _cut(label: str, columns: int) -> str:
    label = " ".join(label.encode("utf-8", "backslashreplace").decode().split())  # matplotlib refuses surrogates
    widths = accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in label)
    fitting = sum(width <= columns for width in widths)
    return label if fitting == len(label) else f"{label[:fitting]}…"
