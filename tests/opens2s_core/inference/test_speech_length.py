import math
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.speech_length import LONGEST_PERIOD, Repetition, SpeechLimits

LIMITS = SpeechLimits(units_per_token=2.0)
UNITS = st.integers(0, 3)


def loop_at(units: list[int], limits: SpeechLimits = LIMITS) -> int | None:
    """Index of the unit that makes a sequence a loop."""
    repetition = Repetition()
    return next((i for i, unit in enumerate(units) if repetition.add(unit, limits)), None)


def is_loop(units: list[int], limits: SpeechLimits = LIMITS) -> bool:
    """By the definition, over the whole sequence: slow and obvious."""

    def repeats(period: int) -> bool:
        needed = max(limits.repeated_units, 2 * period)
        return len(units) >= period + needed and all(units[-i] == units[-i - period] for i in range(1, needed + 1))

    return any(map(repeats, range(1, LONGEST_PERIOD + 1)))


@given(units=st.lists(UNITS, max_size=80), repeated=st.integers(1, 9))
def test_a_loop_is_found_where_the_definition_finds_it(units: list[int], repeated: int) -> None:
    limits = SpeechLimits(units_per_token=2.0, repeated_units=repeated)
    expected = next((i for i in range(len(units)) if is_loop(units[: i + 1], limits)), None)
    assert loop_at(units, limits) == expected


@given(before=st.lists(UNITS, max_size=40), period=st.lists(UNITS, min_size=1, max_size=LONGEST_PERIOD))
def test_every_loop_ends_within_seconds(before: list[int], period: list[int]) -> None:
    units = before + period * (200 // len(period))
    found = loop_at(units)
    assert found is not None
    assert found < len(before) + len(period) + max(LIMITS.repeated_units, 2 * len(period))


@pytest.mark.parametrize(
    "units",
    [
        pytest.param([5] * 25, id="two seconds of silence"),
        pytest.param(list(range(LONGEST_PERIOD + 1)) * 9, id="a period beyond the longest"),
        pytest.param(list(range(20)) * 2, id="a sentence that is said twice"),
        pytest.param(
            list(chain.from_iterable(zip(range(99), repeat(5), strict=False))), id="every other unit the same"
        ),
    ],
)
def test_speech_that_repeats_less_is_no_loop(units: list[int]) -> None:
    assert loop_at(units) is None


@given(hidden_states=st.integers(0, 5000), units_per_token=st.floats(0.1, 20))
def test_speech_may_be_three_times_as_long_as_expected(hidden_states: int, units_per_token: float) -> None:
    longest = SpeechLimits(units_per_token=units_per_token).longest(hidden_states)
    assert longest >= 1
    assert longest == 1 or longest <= 3 * units_per_token * hidden_states < longest + 1


@pytest.mark.parametrize(
    "values",
    [{"units_per_token": 0.0}, {"units_per_token": math.inf}, {"units_per_token": math.nan}, {"longest_factor": -1.0}],
)
def test_limits_are_above_0(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        SpeechLimits(**{"units_per_token": 1.0, **values})
    with pytest.raises(ValueError, match="repeated_units must be at least 1, got 0"):
        SpeechLimits(units_per_token=1.0, repeated_units=0)
