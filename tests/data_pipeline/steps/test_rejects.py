from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import RejectedRow
from data_pipeline.steps.rejects import Rejects


@dataclass(frozen=True, slots=True)
class Number:
    id: str
    value: int


def half(number: Number) -> int:
    if number.value % 2:
        raise RejectedRow(f"odd: {number.value}")
    return number.value // 2


@given(st.lists(st.integers()))
def test_every_row_is_either_kept_or_named(values: list[int]) -> None:
    rejects = Rejects()
    kept = rejects.apply("half", half, [Number(str(index), value) for index, value in enumerate(values)])
    assert kept == [value // 2 for value in values if value % 2 == 0]
    assert rejects.table().to_pylist() == [
        {"id": str(index), "step": "half", "reason": f"odd: {value}"} for index, value in enumerate(values) if value % 2
    ]


def test_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        Rejects().apply("divide", lambda row: 1 // row.value, [Number("a", 0)])
