"""What the pages of reports share: the template environment, and plots of metrics by category."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from data_pipeline.html_page import page_environment
from evaluation.report.text import fact_text, interval, number, shorten, signed
from evaluation.scores import Metric
from evaluation.statistics import Estimate

_MOST_PLOTS = 12
_MOST_CATEGORIES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    title: str
    note: str
    drawing: Markup


def render(template: str, **values: Any) -> str:
    """A page that needs no other file and no network, runs no script, and shows text as text."""
    environment = page_environment("evaluation.report")
    environment.filters.update(fact=fact_text, number=number, signed=signed, shorten=shorten)
    environment.globals.update(interval=interval)
    return environment.get_template(template).render(**values)


def category_plots(
    metrics: Sequence[Metric],
    overall: Sequence[Sequence[Estimate]],
    categories: Sequence[Sequence[Mapping[str, Estimate]]],
) -> list[Plot]:
    """A plot of each metric with values in two categories or more. ``overall`` and ``categories`` are by metric, then
    by run."""
    from evaluation.report.plots import CategoryEstimates, plot_categories  # matplotlib takes a second

    plots: list[Plot] = []
    for metric, whole, runs in zip(metrics, overall, categories, strict=True):
        items: dict[str, int] = {}
        for run in runs:
            for name, estimate in run.items():
                if estimate.value is not None:
                    items[name] = max(items.get(name, 0), estimate.items)
        if len(items) < 2:
            continue
        largest = sorted(items, key=lambda name: (-items[name], name))[:_MOST_CATEGORIES]
        rows = [CategoryEstimates(label="all items", estimates=tuple(whole))]
        rows += [
            CategoryEstimates(label=name or "no category", estimates=tuple(run.get(name) for run in runs))
            for name in sorted(largest)
        ]
        left_out = len(items) - len(largest)
        plots.append(
            Plot(
                title=metric.title + (f", {metric.unit}" if metric.unit else ""),
                note=f"The {left_out:,} categories with the fewest items are not drawn." if left_out else "",
                drawing=Markup(plot_categories(f"plot-{len(plots)}", f"{metric.title} by category", rows)),
            )
        )
        if len(plots) == _MOST_PLOTS:
            break
    return plots
