import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.corpora.fields import number_field, required_number, required_text, text_field
from data_pipeline.records import RejectedRow


@pytest.mark.parametrize(("value", "expected"), [(" a b ", "a b"), ("", ""), (None, ""), ("你好", "你好")])
def test_a_text_is_read_without_the_space_around_it(value: str | None, expected: str) -> None:
    assert text_field({"text": value}, "text") == expected


@pytest.mark.parametrize("value", [1, [], {}, True, b"a"])
def test_what_is_no_text_is_rejected(value: object) -> None:
    with pytest.raises(RejectedRow, match=r"^bad row: text is .*, expected text$"):
        text_field({"text": value}, "text")


@pytest.mark.parametrize("value", ["a\0", "a\ufffd", json.loads('"\\ud83d"')])
def test_what_a_wrong_encoding_left_is_rejected(value: str) -> None:
    with pytest.raises(RejectedRow, match=r"^bad encoding: text is "):
        text_field({"text": value}, "text")


@pytest.mark.parametrize(("value", "expected"), [(1, 1.0), ("2.5", 2.5), (None, None), ("", None), (-0.5, -0.5)])
def test_a_number_may_be_written_as_text(value: Any, expected: float | None) -> None:
    assert number_field({"n": value}, "n") == expected


@pytest.mark.parametrize("value", ["a", math.nan, math.inf, True, [1], 10**400])
def test_what_is_no_finite_number_is_rejected(value: Any) -> None:
    with pytest.raises(RejectedRow, match=r"^bad row: n is .*, expected a number$"):
        number_field({"n": value}, "n")


@given(st.dictionaries(st.just("a"), st.none() | st.text() | st.floats() | st.integers() | st.booleans()))
def test_any_value_is_read_or_rejected(row: dict[str, Any]) -> None:
    reads: list[Callable[[dict[str, Any], str], str | float | None]] = [
        text_field,
        number_field,
        partial(required_text, meaning="text"),
        partial(required_number, meaning="duration"),
    ]
    for read in reads:
        try:
            value = read(row, "a")
        except RejectedRow:
            continue
        if isinstance(value, str):
            value.encode()  # can be written to a file
        else:
            assert value is None or math.isfinite(value)


@pytest.mark.parametrize("row", [{}, {"sentence": " "}, {"sentence": None}])
def test_a_required_field_that_is_empty_is_named_by_what_it_means(row: dict[str, Any]) -> None:
    with pytest.raises(RejectedRow, match=r"^no text: sentence is empty or absent$"):
        required_text(row, "sentence", "text")
    with pytest.raises(RejectedRow, match=r"^no duration: length is empty or absent$"):
        required_number(row, "length", "duration")
