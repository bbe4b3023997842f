import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opens2s_core.config import ConfigError
from opens2s_core.training.batch import EncodedSample
from opens2s_core.training.loader import GroupedSamples
from opens2s_core.training.splits import hold_out


class Plain:
    """Samples whose id is their index."""

    def __init__(self, count: int) -> None:
        self.lengths = np.arange(count) + 10
        self.speech_lengths = np.arange(count) + 1000

    def __getitem__(self, index: int) -> EncodedSample:
        return EncodedSample([], [], [], [], [], id=str(index))


class Grouped(Plain):
    def __init__(self, groups: list[int], repeated: list[int]) -> None:
        super().__init__(len(groups))
        self.groups = np.array(groups)
        self._repeated = repeated

    def epoch_groups(self, epoch: int, seed: int) -> NDArray[np.int64]:
        return np.array([*range(int(self.groups[-1]) + 1), *self._repeated])


def ids(samples: object) -> list[int]:
    return [int(samples[index].id) for index in range(len(samples.lengths))]  # type: ignore[index, attr-defined]


@given(st.integers(2, 40), st.integers(0, 100), st.data())
def test_every_sample_is_on_one_side(total: int, seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, total - 1))
    kept, held_out = hold_out(Plain(total), count, seed)
    assert sorted(ids(kept) + ids(held_out)) == list(range(total))
    assert len(ids(held_out)) == count
    assert list(np.asarray(kept.lengths) - 10) == list(np.asarray(kept.speech_lengths) - 1000) == ids(kept)


def test_the_same_samples_are_held_out_again() -> None:
    assert ids(hold_out(Plain(100), 10, 0)[1]) == ids(hold_out(Plain(100), 10, 0)[1])
    assert ids(hold_out(Plain(100), 10, 0)[1]) != ids(hold_out(Plain(100), 10, 1)[1])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 20), st.data())
def test_neighbours_of_a_row_group_are_held_out_together(sizes: list[int], seed: int, data: st.DataObject) -> None:
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    count = data.draw(st.integers(0, len(groups) - 1))
    runs = [(number, row // 2) for number, size in enumerate(sizes) for row in range(size)]  # for few samples
    _, held_out = hold_out(Grouped(groups, []), count, seed)
    chosen = ids(held_out) if held_out is not None else []
    whole = [run for run in set(runs) if all(index in chosen for index, own in enumerate(runs) if own == run)]
    assert len({runs[index] for index in chosen}) - len(whole) <= 1


def test_nothing_is_held_out_of_what_is_needed() -> None:
    samples = Plain(5)
    assert hold_out(samples, 0, 0) == (samples, None)
    with pytest.raises(ConfigError, match="held_out: expected fewer than the 5 samples of the data, got 5"):
        hold_out(samples, 5, 0)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8), st.integers(0, 20), st.data())
def test_row_groups_stay_together_and_are_repeated_as_before(sizes: list[int], seed: int, data: st.DataObject) -> None:
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    repeated = data.draw(st.lists(st.sampled_from(sorted(set(groups))), max_size=3))
    samples = Grouped(groups, repeated)
    for part in hold_out(samples, data.draw(st.integers(1, len(groups) - 1)), seed):
        assert isinstance(part, GroupedSamples)
        own = [groups[index] for index in ids(part)]
        names = sorted(set(own))
        assert [names[number] for number in part.groups] == own
        expected = [number for number in samples.epoch_groups(0, seed) if number in names]
        assert [names[number] for number in part.epoch_groups(0, seed)] == expected
