import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.training.plan import PlanConfig, plan_epoch, plan_steps

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=60)
plans = st.builds(
    PlanConfig,
    micro_batches_per_step=st.sampled_from([1, 2, 4]),
    micro_batch_positions=st.integers(50, 900),
    seed=st.integers(0, 9),
)


@given(lengths, plans)
def test_an_epoch_holds_every_sample_once(lengths: list[int], plan: PlanConfig) -> None:
    steps = plan_epoch(lengths, plan, epoch=0)
    assert sorted(index for step in steps for micro_batch in step for index in micro_batch) == list(range(len(lengths)))
    assert all(len(step) == plan.micro_batches_per_step for step in steps)


@given(lengths, plans)
def test_a_micro_batch_stays_within_its_size_unless_one_sample_is_larger(lengths: list[int], plan: PlanConfig) -> None:
    for step in plan_epoch(lengths, plan, epoch=0):
        for micro_batch in step:
            assert (
                len(micro_batch) <= 1
                or len(micro_batch) * max(lengths[i] for i in micro_batch) <= plan.micro_batch_positions
            )


@given(lengths, plans, st.integers(0, 12), st.integers(0, 12))
def test_a_resumed_run_sees_the_steps_that_were_left(
    lengths: list[int], plan: PlanConfig, first: int, rest: int
) -> None:
    whole = list(plan_steps(lengths, plan, first=0, last=first + rest))
    assert [step.number for step in whole] == list(range(first + rest))
    assert list(plan_steps(lengths, plan, first=first, last=first + rest)) == whole[first:]


def test_epochs_and_seeds_differ() -> None:
    sizes = list(range(1, 50))
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=100)
    assert plan_epoch(sizes, plan, 0) != plan_epoch(sizes, plan, 1)
    assert plan_epoch(sizes, plan, 0) != plan_epoch(
        sizes, PlanConfig(micro_batches_per_step=2, micro_batch_positions=100, seed=1), 0
    )


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        list(plan_steps([], PlanConfig(), first=0, last=1))
