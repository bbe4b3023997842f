import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.scheduler import StreamWork, schedule

DECODING = st.just(StreamWork(decodes=True))
WAITING = st.just(StreamWork())
PREFILLING = st.builds(StreamWork, prefill=st.integers(1, 50), clips=st.integers(0, 3))
WORK = st.lists(DECODING | WAITING | PREFILLING, max_size=8)
WITHOUT_CLIPS = st.lists(DECODING | WAITING | st.builds(StreamWork, prefill=st.integers(1, 50)), max_size=8)
BUDGET = st.integers(1, 40)
MOST = st.none() | st.integers(1, 4)


@given(WORK, BUDGET, MOST, st.booleans())
def test_every_stream_that_can_decode_does(work: list[StreamWork], budget: int, most: int | None, shared: bool) -> None:
    plan = schedule(work, prefill_tokens=budget, max_prefills=most, shared_budget=shared)
    assert list(plan.decode) == [i for i, one in enumerate(work) if one.decodes]


@given(WORK, BUDGET, MOST, st.booleans())
def test_a_prefill_takes_no_more_than_is_there_and_than_the_budget(
    work: list[StreamWork], budget: int, most: int | None, shared: bool
) -> None:
    plan = schedule(work, prefill_tokens=budget, max_prefills=most, shared_budget=shared)
    assert all(1 <= count <= min(work[i].prefill, budget) for i, count in plan.prefill)
    assert len(plan.prefill) <= (most or len(work))
    if shared:
        assert sum(count for _, count in plan.prefill) <= budget


@given(WITHOUT_CLIPS, BUDGET, st.booleans())
def test_prefill_is_first_come_first_served(work: list[StreamWork], budget: int, shared: bool) -> None:
    plan = schedule(work, prefill_tokens=budget, shared_budget=shared)
    asking = [i for i, one in enumerate(work) if one.prefill]
    served = [i for i, _ in plan.prefill]
    assert served == asking[: len(served)]
    if shared:  # only the last one is cut, and the budget is used up before anyone waits
        assert all(count == work[i].prefill for i, count in plan.prefill[:-1])
        assert sum(count for _, count in plan.prefill) == min(budget, sum(work[i].prefill for i in asking))
    else:
        assert plan.prefill == tuple((i, min(work[i].prefill, budget)) for i in asking)


@given(WORK, BUDGET, MOST)
def test_one_clip_is_encoded_and_what_is_not_encoded_is_not_prefilled(
    work: list[StreamWork], budget: int, most: int | None
) -> None:
    plan = schedule(work, prefill_tokens=budget, max_prefills=most, shared_budget=False)
    asking = [i for i, one in enumerate(work) if one.prefill][:most]
    assert plan.encode == next((i for i in asking if work[i].clips), None)
    for i, _ in plan.prefill:
        assert work[i].clips == (1 if i == plan.encode else 0)


def run(prefill: list[int], clips: list[int], budget: int, most: int | None) -> tuple[list[int], int]:
    """Streams in the order in which they are prefilled to their end, and the number of steps."""
    left, done, steps = list(prefill), list[int](), 0
    clips = list(clips)
    while any(left):
        work = [StreamWork(prefill=positions, clips=clips[i] if positions else 0) for i, positions in enumerate(left)]
        plan = schedule(work, prefill_tokens=budget, max_prefills=most)
        if plan.encode is not None:
            clips[plan.encode] -= 1
        for i, count in plan.prefill:
            assert not clips[i]
            left[i] -= count
            done += [i] * (not left[i])
        assert plan.prefill or plan.encode is not None
        steps += 1
    return done, steps


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=1, max_size=6), BUDGET, MOST)
def test_every_prompt_is_prefilled_in_the_order_of_arrival(
    streams: list[tuple[int, int]], budget: int, most: int | None
) -> None:
    prefill, clips = [positions for positions, _ in streams], [count for _, count in streams]
    done, steps = run(prefill, clips, budget, most)
    assert done == list(range(len(streams)))
    assert steps <= sum(clips) + sum(-(-positions // budget) for positions in prefill)


def test_a_prompt_is_prefilled_in_the_step_that_encodes_its_last_clip() -> None:
    plan = schedule([StreamWork(prefill=9, clips=1), StreamWork(prefill=4)], prefill_tokens=6, max_prefills=1)
    assert (plan.encode, plan.prefill) == (0, ((0, 6),))
    plan = schedule([StreamWork(prefill=9, clips=2), StreamWork(decodes=True)], prefill_tokens=6, max_prefills=1)
    assert (plan.encode, plan.prefill, plan.decode) == (0, (), (1,))


@pytest.mark.parametrize("values", [{"decodes": True, "prefill": 1}, {"prefill": -1}, {"clips": -1}])
def test_impossible_work_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"got 1 positions|expected at least 0"):
        StreamWork(**values)  # type: ignore[arg-type]
