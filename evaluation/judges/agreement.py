"""How far two judges, or two runs of one judge, agree on the same questions."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from evaluation.judges.intervals import Interval, item_interval
from evaluation.scores import Judgement, Question

Values = NDArray[np.float64]
RATINGS = ("1-5", "0-100")


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of judgements on one scale, matched by question and sample. ``pearson``, ``spearman`` and ``within_one`` are None
    for scales that are not ratings. ``kappa`` is Cohen's: with quadratic weights for ratings and pairs, where a tie is
    between the two, else without. A coefficient is not defined where a judge always gives the same value."""

    scale: str
    judgements: int
    unmatched: int  # of which one of the two has no value
    exact: Interval
    kappa: Interval
    within_one: Interval | None = None
    pearson: Interval | None = None
    spearman: Interval | None = None


def agreement(
    questions: Sequence[Question], first: Sequence[Judgement], second: Sequence[Judgement], *, seed: int = 0
) -> list[Agreement]:
    """One for each scale of ``questions``, in their order. Intervals are over items."""
    values = [
        {(judgement.question, judgement.sample): judgement.value for judgement in judgements}
        for judgements in (first, second)
    ]
    found = []
    for scale in dict.fromkeys(question.scale for question in questions):
        wanted = [
            (question.item, (question.id, sample))
            for question in questions
            if question.scale == scale
            for sample in range(question.samples)
        ]
        matched = [
            (item, one, other)
            for item, key in wanted
            if (one := values[0].get(key)) is not None and (other := values[1].get(key)) is not None
        ]
        items = [item for item, _, _ in matched]
        pairs = np.array([pair for _, *pair in matched], dtype=np.float64).reshape(-1, 2)
        found.append(_agreement(scale, items, pairs[:, 0], pairs[:, 1], len(wanted) - len(matched), seed))
    return found


def _agreement(scale: str, items: Sequence[str], first: Values, second: Values, unmatched: int, seed: int) -> Agreement:
    def interval(statistic: Callable[[Values, Values], float]) -> Interval:
        return item_interval(items, lambda rows: statistic(first[rows], second[rows]), seed=seed)

    rated = scale in RATINGS
    return Agreement(
        scale=scale,
        judgements=len(items),
        unmatched=unmatched,
        exact=interval(lambda one, other: float(np.mean(one == other))),
        kappa=interval(weighted_kappa if rated or scale == "pair" else _nominal_kappa),
        within_one=interval(lambda one, other: float(np.mean(np.abs(one - other) <= 1))) if rated else None,
        pearson=interval(_pearson) if rated else None,
        spearman=interval(_spearman) if rated else None,
    )


def weighted_kappa(first: Values, second: Values) -> float:
    """Cohen's kappa with quadratic weights, also of values that are not whole: the mean squared difference of the
    judgements over that of all combinations (Cohen 1968), which is Lin's concordance coefficient (1989)."""
    by_chance = np.var(first) + np.var(second) + (np.mean(first) - np.mean(second)) ** 2
    return float(1 - np.mean((first - second) ** 2) / by_chance) if by_chance > 0 else math.nan


def _nominal_kappa(first: Values, second: Values) -> float:
    if len(np.union1d(first, second)) < 2:
        return math.nan
    return float(cohen_kappa_score(first.astype(int), second.astype(int)))


def _pearson(first: Values, second: Values) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two rows, nearly constant values
        return float(stats.pearsonr(first, second).statistic)


def _spearman(first: Values, second: Values) -> float:
    return _pearson(stats.rankdata(first), stats.rankdata(second))
