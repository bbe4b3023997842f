"""The distributions of a corpus of dialogues as plots in one PNG, as in Figure 3 of the OpenS2S report."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_USER, _REPLY = "#2f6fdd", "#e08b3c"
_MUTED, _LINE = "#5d6673", "#e3e7ec"
_MOST_BARS = 12
_LONGEST_LABEL = 24
_BINS = 24
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "SimHei", "PingFang SC")


@dataclass(frozen=True, kw_only=True, slots=True)
class DialogueColumns:
    """Columns of a corpus. An empty label is an unknown one. Entries are per dialogue for ``languages``, ``topics`` and
    ``turns``, per user message for ``user_*``, ``emotions``, ``genders`` and ``ages``, per reply for ``reply_*`` and
    ``tones``."""

    languages: Sequence[str]
    topics: Sequence[str]
    turns: Sequence[int]
    emotions: Sequence[str]
    genders: Sequence[str]
    ages: Sequence[str]
    user_seconds: Sequence[float]
    user_words: Sequence[int]
    tones: Sequence[str]
    reply_seconds: Sequence[float]
    reply_words: Sequence[int]


def plot_distributions(columns: DialogueColumns, title: str) -> bytes:
    """A PNG of 1400 by 1100 pixels. Raises ``ImportError`` without matplotlib."""
    try:
        from matplotlib import font_manager, rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError("plots need matplotlib (pip install 'opens2s-on-ray[data]')") from error
    installed = {font.name for font in font_manager.fontManager.ttflist}
    style: dict[Any, Any] = {
        "font.family": [name for name in _FONTS if name in installed],
        "font.size": 10,
        "text.parse_math": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(14, 11), layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
        figure.suptitle(title, fontsize=15, fontweight="bold", parse_math=False)
        axes = figure.subplots(3, 3)
        _plot_labels(axes[0][0], "Emotion of user messages", columns.emotions, _USER)
        _plot_labels(axes[0][1], "Gender of users, by message", columns.genders, _USER)
        _plot_labels(axes[0][2], "Age of users, by message", columns.ages, _USER)
        _plot_labels(axes[1][0], "Tone of replies", columns.tones, _REPLY)
        _plot_labels(axes[1][1], "Language of dialogues", columns.languages, _MUTED)
        _plot_labels(axes[1][2], "Turns per dialogue", [str(turns) for turns in columns.turns], _MUTED)
        _plot_labels(axes[2][0], "Topic of dialogues", columns.topics, _MUTED)
        _plot_histograms(axes[2][1], "Duration of clips", "seconds", columns.user_seconds, columns.reply_seconds)
        _plot_histograms(axes[2][2], "Length of texts", "words", columns.user_words, columns.reply_words)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _plot_labels(ax: "Axes", title: str, labels: Sequence[str], colour: str) -> None:
    """Bars from the most frequent label down; those beyond the first twelve are counted without a bar."""
    counts = Counter(label or "unknown" for label in labels)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    bars = [(_shortened(label), count, count) for label, count in ranked[:_MOST_BARS]]
    if others := ranked[_MOST_BARS:]:
        bars.append((f"{len(others)} others", sum(count for _, count in others), 0))
    _prepare(ax, f"{title} ({len(labels):,})")
    places = range(len(bars))
    ax.barh(places, [length for _, _, length in bars], height=0.66, color=colour)
    ax.set_yticks(places, [label for label, _, _ in bars])
    ax.set_ylim(max(len(bars), 4) - 0.5, -0.5)
    ax.set_xticks([])
    longest = max((length for _, _, length in bars), default=1)
    ax.set_xlim(0, 1.3 * longest)
    for place, (_, count, length) in enumerate(bars):
        text = f"{100 * count / len(labels):.1f} %  {count:,}"
        ax.text(length + 0.02 * longest, place, text, va="center", color=_MUTED, fontsize=9)


def _plot_histograms(ax: "Axes", title: str, unit: str, user: Sequence[float], reply: Sequence[float]) -> None:
    _prepare(ax, title)
    values = [np.asarray(each, np.float64) for each in (user, reply)]
    highest = max((float(each.max()) for each in values if each.size), default=0.0) or 1.0
    # Bins of whole numbers hold as many of them each.
    width = math.ceil((highest + 1) / _BINS) if unit == "words" else highest / _BINS
    edges = [number * width for number in range(math.floor(highest / width) + 2)]
    for each, name, colour in zip(values, ("user messages", "replies"), (_USER, _REPLY), strict=True):
        median = f", median {np.median(each):.1f}" if each.size else ""
        ax.hist(each, edges, color=colour, alpha=0.6, label=f"{name}{median}")
    ax.set_xlabel(unit, color=_MUTED)
    ax.grid(axis="y", color=_LINE)
    ax.set_ylim(top=1.2 * ax.get_ylim()[1])  # below the legend
    ax.legend(frameon=False)


def _prepare(ax: "Axes", title: str) -> None:
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=_MUTED)
    ax.set_axisbelow(True)


def _shortened(label: str) -> str:
    label = " ".join(label.split())
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
