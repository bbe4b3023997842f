"""The plots of a report, as SVG for an HTML page.

Text is text, in the page's font. Colours are the page's variables ``--ink``, ``--muted``, ``--line`` and ``--accent``,
so that a plot follows its light and dark scheme. The same counts give the same bytes.
"""

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from data_pipeline.quantities import compact
from data_pipeline.records import EMOTIONS
from data_pipeline.report import DURATION_BINS, LabelCount

INK, MUTED, LINE, ACCENT = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", ACCENT: "--accent"}
WIDTH = 5.6  # inches, for a column of 560 pixels; on a phone it is two thirds as large
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
_MOST_BARS = 12
_LONGEST_LABEL = 48


def plot_bars(name: str, title: str, bars: Sequence[tuple[str, float, str]]) -> str:
    """Bars from top to bottom: label, length, and the text for the length. Those beyond the first twelve are left out
    and counted."""
    shown = bars[:_MOST_BARS]
    with rc_context(STYLE):
        rows = len(shown) + (len(bars) > len(shown))
        figure = Figure(figsize=(WIDTH, 0.48 * rows))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        ax.set_xlim(0, max(length for _, length, _ in bars) or 1)
        ax.set_ylim(rows - 0.8, -0.8)
        places = range(len(shown))
        ax.barh(places, [ax.get_xlim()[1]] * len(shown), height=0.22, color=LINE)
        ax.barh(places, [length for _, length, _ in shown], height=0.22, color=ACCENT)
        for place, (label, _, text) in enumerate(shown):
            ax.text(0, place - 0.24, _one_line(label), transform=ax.get_yaxis_transform())
            ax.text(1, place - 0.24, text, ha="right", color=MUTED, transform=ax.get_yaxis_transform())
        if len(bars) > len(shown):
            more = f"and {len(bars) - len(shown):,} more"
            ax.text(0, len(shown) - 0.24, more, color=MUTED, transform=ax.get_yaxis_transform())
        return svg(figure, name, title)


def plot_durations(name: str, title: str, counts: Sequence[int]) -> str:
    """The histogram of :data:`~data_pipeline.report.DURATION_BINS`."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        ax = figure.subplots()
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_axisbelow(True)
        ax.grid(axis="y", color=LINE)
        ax.bar(range(DURATION_BINS), counts, width=0.86, align="edge", color=ACCENT)
        ticks = range(0, DURATION_BINS, 5)
        ax.set_xticks(ticks, [f"{tick}+" if tick == DURATION_BINS - 1 else str(tick) for tick in ticks])
        ax.set_xlabel("seconds")
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(int(value))))
        return svg(figure, name, title)


def plot_labels(name: str, title: str, counts: Sequence[LabelCount]) -> str:
    """Rows by emotion (from top to bottom) and by gender and age (from left to right)."""
    emotions = [emotion for emotion in (*EMOTIONS, "") if any(count.emotion == emotion for count in counts)]
    groups = sorted(
        {(count.gender, count.age) for count in counts},
        key=lambda group: (
            ("female", "male", "").index(group[0]),
            ("child", "young", "adult", "elderly", "").index(group[1]),
        ),
    )
    largest = max(count.rows for count in counts)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.35 * len(emotions)), layout="constrained")
        ax = figure.subplots()
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_xlim(0, max(len(groups), 3))
        ax.set_ylim(len(emotions), 0)
        for row in range(len(emotions)):
            for column in range(len(groups)):
                ax.add_patch(Rectangle((column + 0.03, row + 0.04), 0.94, 0.92, color=LINE, alpha=0.35, linewidth=0))
        for count in counts:
            column, row = groups.index((count.gender, count.age)), emotions.index(count.emotion)
            depth = 0.15 + 0.6 * math.sqrt(count.rows / largest)
            ax.add_patch(Rectangle((column + 0.03, row + 0.04), 0.94, 0.92, color=ACCENT, alpha=depth, linewidth=0))
            ax.text(column + 0.5, row + 0.53, compact(count.rows), ha="center", va="center", fontsize=10.5)
        ax.set_yticks([row + 0.5 for row in range(len(emotions))], [emotion or "unknown" for emotion in emotions])
        ax.set_xticks(
            [column + 0.5 for column in range(len(groups))],
            [f"{gender or 'gender ?'}\n{age or 'age ?'}" for gender, age in groups],
            fontsize=10.5,
            rotation=90 if len(groups) > 6 else 0,
        )
        return svg(figure, name, title)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"


def svg(figure: Figure, name: str, title: str, colours: Mapping[str, str] = VARIABLES) -> str:
    """``name`` keeps ids apart from those of other plots in the page; ``title`` is for screen readers. The ``colours``
    of the drawing become variables of the page."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # matplotlib measures text in a font without Chinese; browsers choose one that has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    for colour, variable in colours.items():
        drawing = drawing.replace(colour, f"var({variable})")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", drawing)
    label = f'role="img" aria-label="{escape(title)}"'
    return re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda start: f"<svg {start[1]} {label}>", drawing)
