"""The curves of a run as one PNG: losses with validation, learning rates, gradient norms and speed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.axes import Axes

_COLUMNS = 3
_PANEL = (4.6, 2.9)  # inches
_SMOOTHED_SHARE = 0.02  # of the steps, in the median that is drawn over a loss
_VALIDATION = "validation/"
_LOGARITHMIC = 20.0  # ratio of largest to smallest value above which an axis is logarithmic


def plot_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG with the metrics of ``rows``, one for each step.

    A panel for each loss has the loss of every step, its running median and the validation. Then follow other metrics
    of validation, learning rates, gradient norms, tokens per second and the seconds that a step waited for data.
    Raises ``ImportError`` without matplotlib.
    """
    from matplotlib.figure import Figure

    panels = _panels(rows)
    lines = -(-max(len(panels), 1) // _COLUMNS)
    width, height = _PANEL
    figure = Figure(figsize=(_COLUMNS * width, lines * height), layout="constrained")
    axes = list(figure.subplots(lines, _COLUMNS, squeeze=False).flat)
    for ax, (title, names) in zip(axes, panels.items(), strict=False):
        _draw(ax, title, names, rows)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    figure.savefig(path, dpi=110)


def _panels(rows: Sequence[Mapping[str, float]]) -> dict[str, list[str]]:
    """Names of metrics by the title of their panel."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("step", "step_seconds")))
    losses = [name for name in names if name.split("/")[0] == "loss"]
    panels = {name: [name] for name in losses}
    for name in names:
        if name.startswith(_VALIDATION) and name.removeprefix(_VALIDATION) not in losses:
            panels[name] = [name]
    for group in ("learning_rate", "gradient_norm", "tokens_per_second", "data_seconds"):
        if members := [name for name in names if name.split("/")[0] == group]:
            panels[group] = members
    return panels


def _draw(ax: "Axes", title: str, names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    everything = []
    for name in names:
        steps, values = _series(rows, name)
        everything.append(values)
        if title.startswith("loss"):
            ax.plot(steps, values, color="C0", alpha=0.3, linewidth=0.8, label="step")
            ax.plot(steps, _running_median(values), color="C0", linewidth=1.6, label="running median")
        elif title.startswith(_VALIDATION):
            ax.plot(steps, values, color="C1", marker="o", markersize=4, linewidth=1.2)
        else:
            label = name.partition("/")[2] or name
            ax.plot(steps, values, linewidth=1.2, label=label if len(names) > 1 else None)
    if title.startswith("loss"):
        steps, values = _series(rows, _VALIDATION + title)
        if len(steps):
            ax.plot(steps, values, color="C1", marker="o", markersize=4, linewidth=1.2, label="validation")
            everything.append(values)
    if title.startswith("loss") or len(names) > 1:
        ax.legend(fontsize="small", frameon=False)
    finite = np.concatenate(everything)
    finite = finite[np.isfinite(finite)]
    if len(finite) and title != "learning_rate" and 0 < finite.min() * _LOGARITHMIC < finite.max():
        ax.set_yscale("log")
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("step", fontsize="small")
    ax.tick_params(labelsize="small")
    ax.grid(alpha=0.25)


def _series(rows: Sequence[Mapping[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(row["step"], row[name]) for row in rows if name in row]
    return np.array([step for step, _ in points]), np.array([value for _, value in points], dtype=float)


def _running_median(values: np.ndarray) -> np.ndarray:
    width = max(int(len(values) * _SMOOTHED_SHARE), 1) | 1  # odd
    padded = np.pad(values, width // 2, mode="symmetric")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)
