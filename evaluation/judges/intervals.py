"""Bootstrap intervals over items: what belongs to one item is drawn together."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Statistic = Callable[[NDArray[np.intp]], float]
"""Of the rows with these indices, which may repeat; nan where it is not defined."""
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """``low`` and ``high`` bound 95 % of the resamples. All are None where the statistic is not defined; the bounds are
    also where there are fewer than two items."""

    value: float | None
    low: float | None = None
    high: float | None = None


def item_interval(items: Sequence[str], statistic: Statistic, *, seed: int = 0) -> Interval:
    """The percentile interval of ``statistic``. ``items`` names the item of each row."""
    names, of_row = np.unique(np.asarray(items, dtype=str), return_inverse=True)
    rows = np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row, minlength=len(names)))[:-1])
    value = statistic(np.arange(len(items))) if len(items) else math.nan
    if math.isnan(value):
        return Interval(value=None)
    if len(names) < 2:
        return Interval(value=value)

    def of_items(drawn: NDArray[np.intp]) -> float:
        return statistic(np.concatenate([rows[index] for index in drawn]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # resamples where it is not defined
        result = stats.bootstrap(
            (np.arange(len(names)),),
            of_items,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    defined = result.bootstrap_distribution[~np.isnan(result.bootstrap_distribution)]
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(value=value, low=float(low), high=float(high))
