import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.training.voice.windows import sample_windows


@given(st.lists(st.integers(1, 40), min_size=1), st.data(), st.integers(0, 1000))
def test_windows_lie_within_items_that_are_long_enough(lengths, data, seed):
    size = data.draw(st.integers(1, max(lengths)))
    sizes = np.array(lengths)
    items, starts = sample_windows(np.random.default_rng(seed), sizes, 50, size)
    assert (starts >= 0).all()
    assert (starts + size <= sizes[items]).all()


@given(st.integers(2, 9), st.integers(0, 30))
def test_the_ends_of_an_item_are_seen_about_half_as_often_as_its_middle(size, more):
    length = 2 * size + more
    _, starts = sample_windows(np.random.default_rng(0), np.array([length]), 4000, size)
    seen = [((starts <= place) & (place < starts + size)).mean() for place in (0, length // 2, length - 1)]
    assert min(seen) > 0.35 * max(seen)


def test_long_items_are_drawn_more_often():
    items, _ = sample_windows(np.random.default_rng(0), np.array([10, 30, 4]), 4000, 5)
    assert np.abs(np.bincount(items) / 4000 - [0.25, 0.75]).max() < 0.03
