import pytest

from evaluation.report.text import fact_text, interval, number, shorten, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0.00"), (42.891, "42.89"), (1234.5, "1,234.50"), (0.0432, "0.043"), (-0.5, "−0.50")],
)
def test_numbers_have_two_decimals_or_two_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, "–"),
        (-0.085, 0.68, "−0.09 to 0.68"),
        (0.0412, 0.0488, "0.041 to 0.049"),
        (-0.001, 3, "0.00 to 3.00"),
    ],
)
def test_both_bounds_have_as_many_decimals(low: float | None, high: float | None, text: str) -> None:
    assert interval(low, high) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.50"), (-0.5, "−0.50"), (0.0, "0.00"), (None, "–")])
def test_differences_have_a_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ("", "none"),
        ([], "none"),
        (True, "yes"),
        ({"model": "x", "top_p": 0.95, "seeds": [0, 1]}, "model x, top p 0.95, seeds 0, 1"),
    ],
)
def test_facts_are_one_line(value: object, text: str) -> None:
    assert fact_text(value) == text


def test_text_is_shortened_to_a_length() -> None:
    assert (shorten("abcdef", 6), shorten("abcdef", 5)) == ("abcdef", "abcd…")
