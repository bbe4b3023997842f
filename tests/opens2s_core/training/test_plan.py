from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opens2s_core.training.plan import EpochPlan, Lengths, MicroBatch, PlanConfig, plan_epoch, plan_steps

sizes_of_samples = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300)), min_size=1, max_size=60)
lengths = sizes_of_samples.map(lambda pairs: Lengths(*np.array(pairs).T))
plans = st.builds(
    PlanConfig,
    micro_batches_per_step=st.sampled_from([1, 2, 4]),
    micro_batch_positions=st.integers(50, 900),
    micro_batch_speech_positions=st.integers(50, 900),
    window_groups=st.integers(1, 4),
    seed=st.integers(0, 9),
)
group_sizes = st.lists(st.integers(1, 9), min_size=9, max_size=60)
"""Rows of each row group: of more groups than one window of the plans above has."""


def lengths_of(sizes: list[int]) -> Lengths:
    rng = np.random.default_rng(sum(sizes))
    return Lengths(rng.integers(1, 300, sum(sizes)), rng.integers(0, 300, sum(sizes)))


def groups_of(sizes: list[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(sizes)), sizes)


def micro_batches(plan: EpochPlan) -> list[MicroBatch]:
    return [micro_batch for step in plan for micro_batch in step]


@given(lengths, plans)
def test_an_epoch_holds_every_sample_once(lengths: Lengths, plan: PlanConfig) -> None:
    steps = plan_epoch(lengths, plan, epoch=0)
    assert sorted(index for micro_batch in micro_batches(steps) for index in micro_batch) == list(range(len(lengths)))
    assert all(len(step) == plan.micro_batches_per_step for step in steps)


@given(group_sizes, plans)
def test_an_epoch_of_row_groups_holds_every_sample_once(sizes: list[int], plan: PlanConfig) -> None:
    steps = plan_epoch(lengths_of(sizes), plan, epoch=0, groups=groups_of(sizes))
    assert sorted(index for micro_batch in micro_batches(steps) for index in micro_batch) == list(range(sum(sizes)))
    assert all(len(step) == plan.micro_batches_per_step for step in steps)


@given(group_sizes, plans)
def test_all_samples_of_a_row_group_are_in_one_lane(sizes: list[int], plan: PlanConfig) -> None:
    groups = groups_of(sizes)
    lanes: dict[int, set[int]] = {}
    for step in plan_epoch(lengths_of(sizes), plan, epoch=0, groups=groups):
        for lane, micro_batch in enumerate(step):
            for index in micro_batch:
                lanes.setdefault(int(groups[index]), set()).add(lane)
    assert all(len(own) == 1 for own in lanes.values())


@given(group_sizes, plans)
def test_a_lane_needs_no_more_row_groups_at_once_than_a_window_has(sizes: list[int], plan: PlanConfig) -> None:
    lengths, groups = Lengths([300] * sum(sizes), [200] * sum(sizes)), groups_of(sizes)
    budget = min(plan.micro_batch_positions / 300, plan.micro_batch_speech_positions / 200)  # rows of a micro-batch
    window = max(plan.window_groups, int(np.ceil(8 * budget / (sum(sizes) / len(sizes)) - 1e-9)))
    by_lane: list[list[int]] = [[] for _ in range(plan.micro_batches_per_step)]
    for step in plan_epoch(lengths, plan, epoch=0, groups=groups):
        for lane, micro_batch in enumerate(step):
            by_lane[lane] += groups[list(micro_batch)].tolist()
    for order in by_lane:
        first = {group: order.index(group) for group in order}
        last = {group: len(order) - 1 - order[::-1].index(group) for group in order}
        held = [sum(first[group] <= i <= last[group] for group in first) for i in range(len(order))]
        assert max(held, default=0) <= window


def share(lengths: Lengths, plan: PlanConfig, samples: list[int]) -> float:
    """The micro-batches that some samples fill."""
    of_llm = lengths.positions[samples].sum() / plan.micro_batch_positions
    return max(of_llm, lengths.speech_positions[samples].sum() / plan.micro_batch_speech_positions)


@given(group_sizes, plans)
def test_lanes_are_alike_in_size(sizes: list[int], plan: PlanConfig) -> None:
    lengths, groups = lengths_of(sizes), groups_of(sizes)
    of_group = [share(lengths, plan, np.flatnonzero(groups == group).tolist()) for group in range(len(sizes))]
    by_lane: list[set[int]] = [set() for _ in range(plan.micro_batches_per_step)]
    for step in plan_epoch(lengths, plan, epoch=0, groups=groups):
        for lane, micro_batch in enumerate(step):
            by_lane[lane] |= set(groups[list(micro_batch)].tolist())
    totals = [sum(of_group[group] for group in own) for own in by_lane]
    assert max(totals) - min(totals) <= max(of_group) + 1e-9


@given(
    st.one_of(lengths.map(lambda some: (some, None)), group_sizes.map(lambda s: (lengths_of(s), groups_of(s)))), plans
)
def test_empty_micro_batches_are_at_the_end_of_an_epoch(data: tuple, plan: PlanConfig) -> None:
    steps = list(plan_epoch(data[0], plan, epoch=0, groups=data[1]))
    for lane in range(plan.micro_batches_per_step):
        empty = [not step[lane] for step in steps]
        assert empty == sorted(empty)
    assert any(steps[-1])


@given(group_sizes, plans)
def test_a_micro_batch_stays_within_both_budgets_unless_one_sample_is_larger(
    sizes: list[int], plan: PlanConfig
) -> None:
    lengths = lengths_of(sizes)
    for groups in (None, groups_of(sizes)):
        for micro_batch in micro_batches(plan_epoch(lengths, plan, epoch=0, groups=groups)):
            assert len(micro_batch) <= 1 or share(lengths, plan, list(micro_batch)) <= 1


@given(group_sizes, plans, st.booleans())
def test_a_micro_batch_is_full_before_the_next_one_of_its_lane_starts(
    sizes: list[int], plan: PlanConfig, grouped: bool
) -> None:
    lengths, groups = lengths_of(sizes), groups_of(sizes) if grouped else None
    steps = list(plan_epoch(lengths, plan, epoch=0, groups=groups))
    one_after_another = [batch for step in steps for batch in step]
    lanes = list(zip(*steps, strict=True)) if grouped else [one_after_another]  # one window for all lanes
    for lane in lanes:
        for micro_batch, following in pairwise(filter(None, lane)):
            assert share(lengths, plan, [*micro_batch, following[0]]) > 1


@given(group_sizes, plans)
def test_row_groups_are_taken_as_often_as_the_epoch_names_them(sizes: list[int], plan: PlanConfig) -> None:
    groups = groups_of(sizes)
    chosen = np.random.default_rng(0).integers(0, len(sizes), 2 * len(sizes))
    steps = plan_epoch(lengths_of(sizes), plan, epoch=0, groups=groups, epoch_groups=chosen)
    taken = Counter(index for micro_batch in micro_batches(steps) for index in micro_batch)
    times = Counter(chosen.tolist())
    assert taken == Counter({i: times[int(group)] for i, group in enumerate(groups) if times[int(group)]})


@given(group_sizes, plans, st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_a_resumed_run_sees_the_steps_that_were_left(
    sizes: list[int], plan: PlanConfig, first: int, rest: int, grouped: bool
) -> None:
    lengths, groups = lengths_of(sizes), groups_of(sizes) if grouped else None
    whole = list(plan_steps(lengths, plan, first=0, last=first + rest, groups=groups))
    assert [step.number for step in whole] == list(range(first + rest))
    assert list(plan_steps(lengths, plan, first=first, last=first + rest, groups=groups)) == whole[first:]


def test_the_row_groups_of_each_epoch_are_asked_for() -> None:
    asked: list[tuple[int, int]] = []

    def epoch_groups(epoch: int, seed: int) -> list[int]:
        asked.append((epoch, seed))
        return [epoch % 2] * (epoch != 1)  # nothing in epoch 1

    plan = PlanConfig(micro_batches_per_step=1, seed=5)
    steps = list(plan_steps(Lengths([3, 4], [0, 0]), plan, first=0, last=3, groups=[0, 1], epoch_groups=epoch_groups))
    assert [(step.epoch, step.micro_batches) for step in steps] == [(0, ((0,),)), (2, ((0,),)), (3, ((1,),))]
    assert asked == [(0, 5), (1, 5), (2, 5), (3, 5)]


@pytest.mark.parametrize("groups", [None, np.arange(49) // 3], ids=["in memory", "row groups"])
def test_epochs_and_seeds_differ(groups: NDArray[np.int64] | None) -> None:
    sizes = Lengths(range(1, 50), np.zeros(49))
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=100)
    other = PlanConfig(micro_batches_per_step=2, micro_batch_positions=100, seed=1)
    first = list(plan_epoch(sizes, plan, 0, groups=groups))
    assert first != list(plan_epoch(sizes, plan, 1, groups=groups))
    assert first != list(plan_epoch(sizes, other, 0, groups=groups))


def test_few_row_groups_are_one_window_for_all_lanes() -> None:
    lengths = Lengths(np.random.default_rng(0).integers(1, 100, 80), np.zeros(80))
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=300, window_groups=8)
    assert list(plan_epoch(lengths, plan, 3, groups=np.arange(80) // 10)) == list(plan_epoch(lengths, plan, 3))


def test_the_micro_batches_of_a_step_are_alike_in_size() -> None:
    rng = np.random.default_rng(0)
    lengths, groups = Lengths(rng.integers(50, 200, 7000), rng.integers(50, 200, 7000)), np.arange(7000) // 7
    plan = PlanConfig(micro_batches_per_step=8)
    steps = [
        [share(lengths, plan, list(batch)) for batch in step] for step in plan_epoch(lengths, plan, 0, groups=groups)
    ]
    assert np.mean([max(step) for step in steps]) < 1.1 * np.mean(steps)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        list(plan_steps(Lengths([], []), PlanConfig(), first=0, last=1))
