import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from evaluation.judges.agreement import Agreement, agreement, weighted_kappa
from evaluation.judges.intervals import Interval
from evaluation.scores import Judgement, Question
from tests.evaluation.judges.fake_judge import question


def rows(values: Sequence[float | None]) -> list[Judgement]:
    return [Judgement(question=f"q{i}", sample=0, judge="j", value=value) for i, value in enumerate(values)]


def compared(first: Sequence[float | None], second: Sequence[float | None], **fields: Any) -> Agreement:
    questions = [question(f"q{number}", **fields) for number in range(len(first))]
    (found,) = agreement(questions, rows(first), rows(second))
    return found


def value(interval: Interval | None) -> float | None:
    assert interval is not None
    return interval.value


ratings = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=20)


@given(ratings)
def test_weighted_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = weighted_kappa(first, second)
    if len(set(first) | set(second)) < 2:
        assert math.isnan(found)
        return
    assert found == pytest.approx(cohen_kappa_score(*np.array(pairs).T, weights="quadratic", labels=range(1, 6)))


FIRST, SECOND = [1, 2, 3, 4, 5, 3, 4, 1], [1, 3, 3, 4, 3, 2, 5, 1]


def test_agreement_of_ratings_is_that_of_the_libraries() -> None:
    found = compared(FIRST, SECOND)
    assert (found.scale, found.judgements, found.unmatched) == ("1-5", 8, 0)
    assert value(found.exact) == 4 / 8
    assert value(found.within_one) == 7 / 8
    assert value(found.pearson) == pytest.approx(stats.pearsonr(FIRST, SECOND).statistic)
    assert value(found.spearman) == pytest.approx(stats.spearmanr(FIRST, SECOND).statistic)
    assert value(found.kappa) == pytest.approx(cohen_kappa_score(FIRST, SECOND, weights="quadratic"))
    for interval in (found.exact, found.within_one, found.pearson, found.spearman, found.kappa):
        assert interval is not None
        assert interval.value is not None
        assert interval.low is not None
        assert interval.high is not None
        assert -1 <= interval.low < interval.value < interval.high <= 1


def test_a_judge_agrees_with_itself() -> None:
    found = compared(FIRST, FIRST)
    for interval in (found.exact, found.within_one, found.pearson, found.spearman, found.kappa):
        assert interval is not None
        assert (interval.value, interval.low, interval.high) == pytest.approx((1, 1, 1))


def test_correlation_ignores_a_shift_and_kappa_does_not() -> None:
    found = compared([1, 2, 3, 4], [2, 3, 4, 5])
    assert (value(found.pearson), value(found.exact), value(found.within_one)) == pytest.approx((1, 0, 1))
    assert value(found.kappa) == pytest.approx(1 - 1 / (1.25 + 1.25 + 1))


def test_the_interval_covers_the_correlation_of_the_population() -> None:
    rng = np.random.default_rng(0)
    first, noise = rng.normal(size=(2, 400))
    second = 0.6 * first + 0.8 * noise
    found = compared(list(first), list(second), scale="0-100").pearson
    assert found is not None
    expected = stats.pearsonr(first, second).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.02)


def test_coefficients_of_constant_ratings_are_not_defined() -> None:
    found = compared([3, 3, 3], [3, 3, 3])
    assert (value(found.exact), value(found.within_one)) == (1, 1)
    assert found.pearson == found.spearman == found.kappa == Interval(value=None)


def test_choices_have_the_kappa_of_classes() -> None:
    first, second = [0, 1, 2, 0, 1, 2], [0, 1, 1, 0, 2, 2]
    found = compared(first, second, scale="choice", choices=("a", "b", "c"))
    assert (found.pearson, found.spearman, found.within_one) == (None, None, None)
    assert value(found.exact) == 4 / 6
    assert value(found.kappa) == pytest.approx((4 / 6 - 1 / 3) / (1 - 1 / 3))  # each class is a third of both


def test_verdicts_on_pairs_have_ties_between() -> None:
    found = compared([1, 0.5, 0], [1, 0, 0.5], scale="pair")
    assert value(found.kappa) == pytest.approx(cohen_kappa_score([2, 1, 0], [2, 0, 1], weights="quadratic"))


def test_each_scale_has_its_agreement_and_what_is_missing_is_counted() -> None:
    questions = [question("q0"), question("q1", scale="yes-no"), question("q2"), question("q3", scale="yes-no")]
    found = agreement(questions, rows([4, 1, None, 0]), rows([4, 1, 3]))
    assert [(each.scale, each.judgements, each.unmatched) for each in found] == [("1-5", 1, 1), ("yes-no", 1, 1)]
    assert [each.exact for each in found] == [Interval(value=1), Interval(value=1)]


def test_judgements_are_matched_by_sample() -> None:
    asked: list[Question] = [question("q0", samples=2)]
    first = [Judgement(question="q0", sample=sample, judge="a", value=4 + sample) for sample in (0, 1)]
    second = [Judgement(question="q0", sample=sample, judge="b", value=5 - sample) for sample in (1, 0)]
    (found,) = agreement(asked, first, second)
    assert (found.judgements, value(found.exact), value(found.within_one)) == (2, 0, 1)


def test_without_matches_nothing_is_defined() -> None:
    found = compared([None, 3], [3, None])
    assert (found.judgements, found.unmatched, found.exact, found.kappa) == (0, 2, Interval(value=None), found.exact)
