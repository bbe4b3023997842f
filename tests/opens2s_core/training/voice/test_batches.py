from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.training.voice.batches import Batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=50)


@given(lengths=LENGTHS, seed=st.integers(0, 2**32 - 1), first=st.integers(0, 200))
def test_a_step_does_not_depend_on_those_before_it(lengths: list[int], seed: int, first: int) -> None:
    used, fresh = (Batches(lengths, 80, seed=seed, bucket=4) for _ in range(2))
    before = [used.at(step) for step in range(first + 1)]
    assert fresh.at(first) == before[-1]


@given(lengths=LENGTHS, seed=st.integers(0, 2**32 - 1))
def test_every_epoch_takes_all_once_within_bounds(lengths: list[int], seed: int) -> None:
    batches = Batches(lengths, 80, seed=seed, bucket=4)
    step = 0
    for _ in range(3):
        taken: list[int] = []
        while len(taken) < len(lengths):
            batch = batches.at(step)
            assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 80
            taken += batch
            step += 1
        assert sorted(taken) == list(range(len(lengths)))


def test_batches_change_from_epoch_to_epoch() -> None:
    batches = Batches([10] * 20, 40, seed=0)
    assert sorted(batches.at(step) for step in range(5)) != sorted(batches.at(step) for step in range(5, 10))
