import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scores import Metric, Score
from evaluation.statistics import REPLICATES, SEED, Estimate, item_values, paired_difference, summarise

QUALITY = Metric(name="quality", title="Quality", unit="of 5")
WER = Metric(name="wer", title="WER", unit="%", scale=100, higher_is_better=False)
UAR = Metric(name="uar", title="Unweighted accuracy", unit="%", scale=100, average="groups")

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
weighted = st.lists(st.tuples(numbers, st.integers(0, 9)), min_size=2, max_size=12)


def scores(metric: Metric, values: Sequence[float], weights: Sequence[float] = (), groups: str = "") -> list[Score]:
    return [
        Score(
            item=f"item-{n:04}",
            metric=metric.name,
            value=value,
            weight=weights[n] if weights else 1.0,
            group=groups[n] if groups else "",
        )
        for n, value in enumerate(values)
    ]


def overall(metric: Metric, given_scores: Sequence[Score], **settings: list[str]) -> Estimate:
    items = {score.item: "" for score in given_scores}
    return summarise([metric], given_scores, items, **settings)[0].overall


def test_a_mean_is_that_of_the_items() -> None:
    estimate = overall(QUALITY, scores(QUALITY, [1, 2, 3, 4]))
    assert (estimate.value, estimate.items, estimate.missing) == (2.5, 4, 0)


def test_a_corpus_error_rate_divides_all_errors_by_all_words() -> None:
    assert overall(WER, scores(WER, [1, 0, 3], [10, 5, 5])).value == pytest.approx(100 * 4 / 20)


def test_unweighted_accuracy_is_the_mean_over_classes() -> None:
    # Of class a 3 of 4 are right, of class b 0 of 1: (75 + 0) / 2.
    assert overall(UAR, scores(UAR, [1, 1, 1, 0, 0], groups="aaaab")).value == pytest.approx(37.5)


def test_samples_of_a_judge_count_as_one_item() -> None:
    three_each = [Score(item=item, metric="quality", value=value) for item in "ab" for value in (1.0, 2.0, 6.0)]
    estimate = overall(QUALITY, three_each)
    assert estimate == Estimate(value=3.0, low=3.0, high=3.0, items=2)  # the items are equal: nothing varies


def test_categories_are_summed_up_alone_and_missing_items_are_counted_there() -> None:
    categories = {"a": "happy", "b": "sad", "c": "sad", "d": "sad", "e": "angry", "f": "sad"}
    given_scores = [Score(item=item, metric="quality", value=value) for item, value in (("a", 1), ("b", 2), ("c", 4))]
    summary = summarise([QUALITY], given_scores, categories, failed={"c", "d", "e"})[0]
    assert {name: (part.value, part.items, part.missing) for name, part in summary.categories.items()} == {
        "angry": (None, 0, 1),
        "happy": (1.0, 1, 0),
        "sad": (3.0, 2, 1),  # c has a score although a judgement of it failed; f needs none
    }
    assert list(summary.categories) == ["angry", "happy", "sad"]
    assert (summary.overall.items, summary.overall.missing) == (3, 2)


def test_without_categories_there_are_none() -> None:
    assert summarise([QUALITY], scores(QUALITY, [1, 2]), {"item-0000": "", "item-0001": ""})[0].categories == {}


def test_metrics_keep_their_order_and_have_no_value_if_no_item_is_scored() -> None:
    summaries = summarise([WER, QUALITY], scores(QUALITY, [3]), {"item-0000": ""})
    assert [summary.metric.name for summary in summaries] == ["wer", "quality"]
    assert summaries[0].overall == Estimate(value=None, low=None, high=None, items=0)
    assert summaries[1].overall == Estimate(value=3, low=None, high=None, items=1)  # one item has no spread


def test_weights_of_zero_give_no_value() -> None:
    assert overall(WER, scores(WER, [0, 0], [0, 0])) == Estimate(value=None, low=None, high=None, items=2)


def loop_over_replicates(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    generator = np.random.default_rng(SEED)
    ratios = []
    for _ in range(REPLICATES):
        taken = generator.integers(len(values), size=len(values))
        if total := sum(weights[n] for n in taken):
            ratios.append(sum(values[n] for n in taken) / total)
    return float(np.percentile(ratios, 2.5)), float(np.percentile(ratios, 97.5))


def test_the_interval_equals_that_of_a_loop_over_replicates() -> None:
    values, weights = [1.0, 0.0, 3.0, 2.0, 0.0], [10, 5, 5, 0, 8]
    estimate = overall(WER, scores(WER, values, weights))
    assert (estimate.low, estimate.high) == pytest.approx(
        [100 * bound for bound in loop_over_replicates(values, weights)]
    )


def test_the_interval_does_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    given_scores = scores(QUALITY, [1, 5, 2, 2, 4, 3, 3])
    whole = overall(QUALITY, given_scores)
    monkeypatch.setattr("evaluation.statistics._BLOCK", 1000)
    assert overall(QUALITY, given_scores) == whole


def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3, 1, 4000)
    estimate = overall(QUALITY, scores(QUALITY, values.tolist()))
    error = 1.96 * values.std() / math.sqrt(len(values))
    assert (estimate.low, estimate.high) == pytest.approx(
        [values.mean() - error, values.mean() + error], abs=0.1 * error
    )


def test_about_nineteen_of_twenty_intervals_cover_the_truth() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        estimate = overall(QUALITY, scores(QUALITY, generator.normal(3, 1, 40).tolist()))
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 3 <= estimate.high
    assert 178 <= covered <= 198


@given(weighted)
def test_values_equal_numpy_and_bounds_are_in_order(pairs: list[tuple[float, int]]) -> None:
    values, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    estimate = overall(WER, scores(WER, values, weights))
    if sum(weights):
        assert estimate.value == pytest.approx(100 * np.sum(values) / np.sum(weights), rel=1e-9, abs=1e-9)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.high
    else:
        assert estimate.value is None


@given(weighted, st.randoms(use_true_random=False))
def test_the_order_of_scores_does_not_matter(pairs: list[tuple[float, int]], shuffling: random.Random) -> None:
    given_scores = scores(WER, [value for value, _ in pairs], [weight for _, weight in pairs])
    shuffled = given_scores.copy()
    shuffling.shuffle(shuffled)
    assert overall(WER, shuffled) == overall(WER, given_scores)


@given(st.lists(st.tuples(numbers, st.sampled_from("abc")), min_size=1, max_size=20))
def test_means_over_groups_equal_numpy(rows: list[tuple[float, str]]) -> None:
    estimate = overall(UAR, scores(UAR, [value for value, _ in rows], groups="".join(group for _, group in rows)))
    means = [np.mean([value for value, each in rows if each == group]) for group in {group for _, group in rows}]
    assert estimate.value == pytest.approx(100 * np.mean(means), rel=1e-9, abs=1e-9)


@given(st.lists(numbers, min_size=2, max_size=12), numbers)
def test_a_constant_added_to_all_items_is_the_difference_without_spread(values: list[float], constant: float) -> None:
    difference = paired_difference(
        QUALITY, scores(QUALITY, [value + constant for value in values]), scores(QUALITY, values)
    )
    assert [difference.value, difference.low, difference.high] == pytest.approx([constant] * 3, abs=1e-9)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12))
def test_the_difference_changes_its_sign_with_the_order(pairs: list[tuple[float, float]]) -> None:
    first, second = (scores(QUALITY, [pair[side] for pair in pairs]) for side in (0, 1))
    one, other = paired_difference(QUALITY, first, second), paired_difference(QUALITY, second, first)
    assert one.low is not None
    assert one.high is not None
    assert [other.value, other.low, other.high] == pytest.approx([-one.value, -one.high, -one.low], abs=1e-9)


def test_a_difference_is_over_common_items() -> None:
    first = scores(QUALITY, [1, 2, 3])
    second = [*scores(QUALITY, [5, 1])[:2], Score(item="other", metric="quality", value=100)]
    difference = paired_difference(QUALITY, first, second)
    assert (difference.value, difference.items) == ((1 + 2) / 2 - (5 + 1) / 2, 2)


def test_pairing_makes_the_interval_of_correlated_runs_narrow() -> None:
    generator = np.random.default_rng(3)
    hardness, noise = generator.normal(0, 10, 100), generator.normal(0.5, 0.1, 100)
    difference = paired_difference(
        QUALITY, scores(QUALITY, (hardness + noise).tolist()), scores(QUALITY, hardness.tolist())
    )
    assert difference.low == pytest.approx(0.5, abs=0.06)
    assert difference.high == pytest.approx(0.5, abs=0.06)


def test_runs_without_common_items_have_no_difference() -> None:
    assert paired_difference(QUALITY, scores(QUALITY, [1]), []) == Estimate(value=None, low=None, high=None, items=0)


def test_the_value_of_an_item_is_in_the_unit_of_the_metric() -> None:
    given_scores = [*scores(WER, [1, 2], [4, 0]), Score(item="item-0000", metric="wer", value=1, weight=6)]
    assert item_values(WER, given_scores) == {"item-0000": 20.0}


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (Score(item="a", metric="other", value=1), "expected a score of one of quality, got metric 'other'"),
        (Score(item="b", metric="quality", value=1), "expected a score of an item of the run, got item 'b'"),
        (Score(item="a", metric="quality", value=math.nan), "of item 'a', got nan and 1.0"),
        (Score(item="a", metric="quality", value=1, weight=-1), "of item 'a', got 1 and -1"),
    ],
)
def test_scores_without_meaning_are_refused(score: Score, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summarise([QUALITY], [score], {"a": ""})
