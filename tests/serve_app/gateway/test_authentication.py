"""Authentication: keys, and the origins of pages."""

import os
from pathlib import Path

import pytest

from serve_app.config import Access
from serve_app.errors import ApiError
from serve_app.gateway.authentication import KEYS_VARIABLE, Authenticator, check_origin
from tests.fakes import FakeClock

OPEN = Authenticator(Access(), {})


def with_keys(variable: str) -> Authenticator:
    return Authenticator(Access(), {KEYS_VARIABLE: variable})


def refusal(authenticator: Authenticator, header: str | None) -> ApiError:
    with pytest.raises(ApiError) as refused:
        authenticator.client(header)
    return refused.value


def knows(authenticator: Authenticator, key: str) -> bool:
    try:
        return authenticator.client(f"Bearer {key}") is not None
    except ApiError:
        return False


def test_without_keys_no_key_is_needed() -> None:
    assert OPEN.open
    assert OPEN.client(None) is None
    assert OPEN.client("Bearer whatever") is None


@pytest.mark.parametrize("header", [None, "", "one", "Basic one", "Bearer", "Bearer ", "Bearer onë", "Bearer on"])
def test_a_request_without_a_known_key_is_refused(header: str | None) -> None:
    refused = refusal(with_keys("one,two"), header)
    assert refused.status == 401
    assert refused.code in ("missing_api_key", "invalid_api_key")
    assert refused.headers == {"WWW-Authenticate": "Bearer"}
    assert "one" not in refused.message


def test_a_client_is_known_by_a_digest_of_its_key() -> None:
    authenticator = with_keys(" one , two,")
    one = authenticator.client("Bearer one")
    assert one == authenticator.client("bearer  one ")
    assert one != authenticator.client("Bearer two")
    assert one is not None
    assert b"one" not in one


@pytest.mark.parametrize("variable", ["", ",", " , ,", "\n"])
def test_configured_but_empty_keys_are_an_error_in_the_variable(variable: str) -> None:
    with pytest.raises(ValueError, match="OPENS2S_API_KEYS: expected keys separated by commas, found none"):
        with_keys(variable)


@pytest.mark.parametrize("key", ["\ufeffone", "schlüssel", "o\x00ne"])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(ValueError, match="of printable ASCII") as error:
        with_keys(f"two,{key}-and-the-rest-of-it")
    assert "rest" not in str(error.value)


class KeysFile:
    """A file of keys, and the authenticator that reads it."""

    def __init__(self, path: Path, content: bytes = b"one\n") -> None:
        self.path = path / "keys"
        self.clock = FakeClock()
        self._written = 0
        self.write(content)
        access = Access(keys_file=str(self.path))
        self.authenticator = Authenticator(access, {KEYS_VARIABLE: "three"}, self.clock)

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self._written += 1
        os.utime(self.path, ns=(self._written, self._written))

    def known(self, seconds: float = 2.0) -> set[str]:
        """The keys that are accepted so much later."""
        self.clock.now += seconds
        return {key for key in ("one", "two", "three") if knows(self.authenticator, key)}


@pytest.mark.parametrize(
    "content",
    [b"# ours\none\n\n  two  \n", b"\xef\xbb\xbfone\r\ntwo\r\n", b"one\ntwo"],
    ids=["comments", "BOM", "bare"],
)
def test_keys_come_from_a_file_and_from_the_environment(tmp_path: Path, content: bytes) -> None:
    assert KeysFile(tmp_path, content).known() == {"one", "two", "three"}


@pytest.mark.parametrize("content", [b"", b"# none yet\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_configured_but_empty_keys_are_an_error_in_the_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"keys_file .*: expected"):
        KeysFile(tmp_path, content)
    with pytest.raises(OSError, match="nowhere"):
        Authenticator(Access(keys_file=str(tmp_path / "nowhere")), {})


def test_keys_that_are_added_or_revoked_are_soon_so(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    assert file.known() == {"one", "three"}
    file.write(b"one\ntwo\n")
    assert file.known() == {"one", "two", "three"}
    file.write(b"two\n")
    assert file.known(seconds=0.1) == {"one", "two", "three"}, "the file is not read for each request"
    assert file.known() == {"two", "three"}


def test_a_file_that_is_replaced_by_one_of_the_same_time_and_size_is_read(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(b"two\n")
    status = file.path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file.path)
    assert file.known() == {"two", "three"}


@pytest.mark.parametrize("spoil", ["empty", "removed", "not text", "a folder"])
def test_an_unusable_keys_file_revokes_its_keys_until_it_can_be_read(tmp_path: Path, spoil: str) -> None:
    file = KeysFile(tmp_path)
    if spoil in ("removed", "a folder"):
        file.path.unlink()
    if spoil == "a folder":
        file.path.mkdir()
    elif spoil != "removed":
        file.write(b"" if spoil == "empty" else b"\xff\xfe")
    assert file.known() == {"three"}
    assert not file.authenticator.open
    if spoil == "a folder":
        file.path.rmdir()
    file.write(b"one\n")
    assert file.known() == {"one", "three"}


def test_a_keys_file_without_permission_revokes_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = KeysFile(tmp_path)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError("denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", denied)
        patched.setattr(Path, "read_text", denied)
        assert file.known() == {"three"}
    assert file.known() == {"one", "three"}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, ()),
        ("http://here:8000", ()),
        ("https://here:8000", ()),
        ("https://there", ("https://there",)),
        ("https://anywhere", ("*",)),
    ],
)
def test_pages_of_this_server_and_of_allowed_origins_are_accepted(origin: str | None, allowed: tuple[str, ...]) -> None:
    check_origin(origin, "here:8000", allowed)


@pytest.mark.parametrize("host", ["here:8000", "here", "", None])
@pytest.mark.parametrize("origin", ["https://elsewhere", "http://here:8001", "null", "", "http://[", "here:8000"])
def test_pages_of_other_origins_are_refused(origin: str, host: str | None) -> None:
    with pytest.raises(ApiError, match="is not allowed") as refused:
        check_origin(origin, host, ("https://there",))
    assert refused.value.status == 403
