"""Who is let in, and how often at once."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from serve_app.config import Access
from serve_app.errors import ApiError
from serve_app.gateway.authentication import Gate, read_keys


def refused(gate: Gate, header: str | None) -> ApiError:
    with pytest.raises(ApiError) as error:
        gate.holder(header)
    return error.value


def test_without_keys_everyone_may_ask_as_often_as_they_like() -> None:
    gate = Gate((), replies_per_key=1)
    with gate.place(gate.holder(None)), gate.place(gate.holder("Bearer whatever")):
        pass


@pytest.mark.parametrize("header", [None, "", "one", "Basic one", "Bearer", "Bearer ", "Bearer onë", "Bearer on"])
def test_who_has_no_known_key_is_refused(header: str | None) -> None:
    error = refused(Gate(("one", "two"), 1), header)
    assert error.status == 401
    assert error.headers == {"WWW-Authenticate": "Bearer"}
    assert "one" not in error.message


def test_each_key_has_its_own_places() -> None:
    gate = Gate(("one", "two"), replies_per_key=2)
    with ExitStack() as replies:
        for key in ("one", "one", "two"):
            replies.enter_context(gate.place(gate.holder(f"Bearer {key}")))
        with pytest.raises(ApiError) as error, gate.place(gate.holder("bearer one")):
            pass
        assert error.value.status == 429
        assert error.value.headers["Retry-After"]
    with gate.place(gate.holder("Bearer one")):
        pass


def test_a_place_is_given_back_when_its_reply_fails() -> None:
    gate = Gate(("one",), replies_per_key=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), gate.place(gate.holder("Bearer one")):
            raise RuntimeError


def test_keys_come_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# ours\none\n\n  two  \n")
    access = Access(keys_file=str(tmp_path / "keys"))
    assert set(read_keys(access, {"OPENS2S_API_KEYS": "three, four,"})) == {"one", "two", "three", "four"}
    assert read_keys(Access(), {}) == ()


def test_a_file_without_keys_does_not_open_the_door(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    with pytest.raises(ValueError, match="expected a key a line"):
        read_keys(Access(keys_file=str(tmp_path / "keys")), {})
