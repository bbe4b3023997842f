import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.synthesis.quality.sampling import is_measured

KEYS = [f"clip-{number}" for number in range(20_000)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_given_share_of_clips_is_chosen(share: float) -> None:
    chosen = sum(is_measured(key, share, 7) for key in KEYS)
    assert chosen / len(KEYS) == pytest.approx(share, abs=4 * (share * (1 - share) / len(KEYS)) ** 0.5)


def test_all_or_none_are_chosen_at_the_ends() -> None:
    assert all(is_measured(key, 1.0, 0) for key in KEYS)
    assert not any(is_measured(key, 0.0, 0) for key in KEYS)


@given(key=st.text(), low=st.floats(0, 1), high=st.floats(0, 1), seed=st.integers())
def test_a_larger_share_includes_a_smaller_one(key: str, low: float, high: float, seed: int) -> None:
    low, high = sorted((low, high))
    assert is_measured(key, high, seed) or not is_measured(key, low, seed)


def test_seeds_choose_independently() -> None:
    both = sum(is_measured(key, 0.5, 1) and is_measured(key, 0.5, 2) for key in KEYS)
    assert both / len(KEYS) == pytest.approx(0.25, abs=0.02)
