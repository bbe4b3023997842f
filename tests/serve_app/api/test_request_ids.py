"""Request ids of clients."""

import pytest

from serve_app.api.request_ids import clean_request_id


@pytest.mark.parametrize("value", ["a", "req-1_2:3/4", "x" * 128, "two words"])
def test_a_printable_id_is_kept(value: str) -> None:
    assert clean_request_id(value) == value


@pytest.mark.parametrize("value", [None, "", " ", "x" * 129, "\u00e9", "a\nb", "a\x00", "\U0001f600", "\x7f"])
def test_any_other_is_replaced(value: str | None) -> None:
    fresh = clean_request_id(value)
    assert fresh.isascii()
    assert fresh.isalnum()
    assert fresh != clean_request_id(value)
