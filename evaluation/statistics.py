"""Sums of scores over items, with bootstrap intervals, and differences of two runs on the same items.

Items are resampled with replacement, all scores of an item together: several samples of a judge for one item are not
independent. Intervals are percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13).
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.scores import Metric, Score

CONFIDENCE = 0.95
REPLICATES = 2000
SEED = 0
_BLOCK = 4_000_000
"""How many resampled items are in memory at a time."""

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A metric over some items, in its unit.

    ``value`` is None where no item has a score or all weights are 0. ``low`` and ``high`` bound the interval of
    :data:`CONFIDENCE`; they are None for fewer than two items. ``items`` have a score. ``missing`` have none because
    the answer, its transcript or a judgement failed.
    """

    value: float | None
    low: float | None
    high: float | None
    items: int
    missing: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A metric over all items, and over those of each category in alphabetical order (none if no item has one)."""

    metric: Metric
    overall: Estimate
    categories: Mapping[str, Estimate]


def summarise(
    metrics: Sequence[Metric], scores: Iterable[Score], categories: Mapping[str, str], failed: Collection[str] = ()
) -> list[Summary]:
    """A summary of each metric, in their order. It does not depend on the order of scores and items.

    ``categories`` has the category of every item of the run by its id, ``failed`` the ids of items of which
    something failed. Raises ``ValueError`` for a score of an unknown metric or item, for numbers that are not finite
    and for negative weights.
    """
    by_metric: dict[str, list[Score]] = {metric.name: [] for metric in metrics}
    for score in scores:
        if score.metric not in by_metric:
            raise ValueError(f"expected a score of one of {', '.join(by_metric)}, got metric {score.metric!r}")
        if score.item not in categories:
            raise ValueError(f"expected a score of an item of the run, got item {score.item!r}")
        by_metric[score.metric].append(score)
    members: dict[str, list[str]] = defaultdict(list)
    for item in sorted(categories):
        members[categories[item]].append(item)
    names = sorted(members) if any(members) else []
    summaries = []
    for metric in metrics:
        table = _Table.of(by_metric[metric.name], metric)
        summaries.append(
            Summary(
                metric=metric,
                overall=_estimate(table, sorted(categories), failed),
                categories={name: _estimate(table, members[name], failed) for name in names},
            )
        )
    return summaries


def paired_difference(metric: Metric, first: Iterable[Score], second: Iterable[Score]) -> Estimate:
    """``first`` minus ``second``, of scores of this one metric, over the items that have scores in both. The same items
    are resampled on both sides."""
    tables = [_Table.of(scores, metric) for scores in (first, second)]
    common = sorted(tables[0].rows.keys() & tables[1].rows.keys())
    a, b = (table.select(common) for table in tables)
    replicates = [a.value(counts) - b.value(counts) for counts in _resamples(len(common))]
    return _bounded(float((a.value(_once(common)) - b.value(_once(common)))[0]), replicates, len(common))


def item_values(metric: Metric, scores: Iterable[Score]) -> dict[str, float]:
    """The metric of each item alone, in its unit, by id. Items whose weights are all 0 are left out."""
    sums: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for score in scores:
        value, weight = sums[score.item]
        sums[score.item] = value + score.value, weight + score.weight
    return {item: metric.scale * value / weight for item, (value, weight) in sums.items() if weight}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """Sums of values and weights (items, groups) of one metric, and the row of each item."""

    scale: float
    rows: Mapping[str, int]
    values: _Array
    weights: _Array

    @classmethod
    def of(cls, scores: Iterable[Score], metric: Metric) -> "_Table":
        # In a fixed order, so that sums of floating-point numbers do not depend on that of the scores.
        ordered = sorted(scores, key=lambda score: (score.item, score.group, score.value, score.weight))
        for score in ordered:
            if not (math.isfinite(score.value) and math.isfinite(score.weight) and score.weight >= 0):
                raise ValueError(
                    f"expected a finite value and a weight of at least 0 for {score.metric} of item {score.item!r}, "
                    f"got {score.value} and {score.weight}"
                )
        rows = {item: row for row, item in enumerate(dict.fromkeys(score.item for score in ordered))}
        groups = sorted({score.group for score in ordered}) if metric.average == "groups" else [""]
        columns = {group: column for column, group in enumerate(groups)}
        values, weights = (np.zeros((len(rows), len(groups))) for _ in range(2))
        for score in ordered:
            cell = rows[score.item], columns.get(score.group, 0)
            values[cell] += score.value
            weights[cell] += score.weight
        return cls(scale=metric.scale, rows=rows, values=values, weights=weights)

    def select(self, items: Sequence[str]) -> "_Table":
        """The rows of ``items``, in their order."""
        chosen = [self.rows[item] for item in items]
        rows = {item: row for row, item in enumerate(items)}
        return _Table(scale=self.scale, rows=rows, values=self.values[chosen], weights=self.weights[chosen])

    def value(self, counts: _Array) -> _Array:
        """The metric (replicates,) where each item is taken as often as ``counts`` (replicates, items) has it. A group
        without weight is left out; NaN if all are."""
        values, weights = counts @ self.values, counts @ self.weights
        present = weights > 0
        ratios = np.divide(values, weights, out=np.zeros_like(values), where=present)
        groups = present.sum(axis=1)
        return np.divide(self.scale * ratios.sum(axis=1), groups, out=np.full(len(counts), math.nan), where=groups > 0)


def _estimate(table: _Table, items: Sequence[str], failed: Collection[str]) -> Estimate:
    scored = [item for item in items if item in table.rows]
    selected = table.select(scored)
    return _bounded(
        float(selected.value(_once(scored))[0]),
        [selected.value(counts) for counts in _resamples(len(scored))],
        len(scored),
        sum(item in failed and item not in table.rows for item in items),
    )


def _bounded(value: float, replicates: Sequence[_Array], items: int, missing: int = 0) -> Estimate:
    known = np.concatenate(replicates) if replicates else np.zeros(0)
    known = known[~np.isnan(known)]
    if math.isnan(value) or not known.size:
        return Estimate(value=None if math.isnan(value) else value, low=None, high=None, items=items, missing=missing)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return Estimate(value=value, low=float(low), high=float(high), items=items, missing=missing)


def _once(items: Sequence[str]) -> _Array:
    return np.ones((1, len(items)))


def _resamples(items: int) -> Iterator[_Array]:
    """How often each item is taken (replicates, items), in blocks, :data:`REPLICATES` in all; none for one item."""
    if items < 2:
        return
    generator = np.random.default_rng(SEED)
    for start in range(0, REPLICATES, block := max(1, _BLOCK // items)):
        replicates = min(block, REPLICATES - start)
        taken = generator.integers(items, size=(replicates, items)) + items * np.arange(replicates)[:, None]
        yield np.bincount(taken.ravel(), minlength=replicates * items).reshape(replicates, items).astype(np.float64)
