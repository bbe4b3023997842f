import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.quantities import audio_length, compact, share


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999, "999"),
        (1_000, "1.0k"),
        (1_234, "1.2k"),
        (9_949, "9.9k"),
        (9_960, "10k"),
        (999_499, "999k"),
        (999_600, "1.0M"),
        (5_600_000, "5.6M"),
        (12_300_000_000, "12G"),
    ],
)
def test_counts_are_compact(count: int, text: str) -> None:
    assert compact(count) == text


@given(st.integers(min_value=0, max_value=9 * 10**14))
def test_a_compact_count_has_at_most_four_characters(count: int) -> None:
    assert len(compact(count)) <= 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1.0 min"), (3_600, "1.0 h"), (36_000_000, "10,000.0 h")],
)
def test_audio_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert audio_length(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "0%"), (0, 5, "0%"), (1, 100_000, "<0.1%"), (1, 3, "33.3%"), (3, 3, "100.0%")]
)
def test_a_share_is_never_shown_as_nothing(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text
