"""Authentication: API keys, and the origins of pages."""

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from serve_app.config import Access
from serve_app.errors import ApiError

KEYS_VARIABLE = "OPENS2S_API_KEYS"
_LOOK_SECONDS = 1.0
"""How often the file of keys is looked at for changes."""
_logger = logging.getLogger("ray.serve")


class Authenticator:
    """Accepts the keys of the environment and of the file, which is read again when it changes. Without either, no key
    is needed. ``ValueError`` where keys are configured and there are none, ``OSError`` for a file that cannot be read.
    A file that becomes empty or unreadable later revokes its own keys until it can be read again.
    """

    def __init__(
        self,
        access: Access,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = Path(access.keys_file) if access.keys_file is not None else None
        self._clock = clock
        self._of_environment = _digests(_keys_in_variable(environment))
        self._version = _version(self._file)
        self._of_file = _digests(_keys_in_file(self._file))
        self._looked = clock()

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return self._file is None and not self._of_environment

    def client(self, authorization: str | None) -> bytes | None:
        """The client, by the ``Authorization`` header: a digest of its key; None where no key is needed. Raises
        :class:`ApiError` (401)."""
        if self.open:
            return None
        self._look()
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, "no API key: expected the header 'Authorization: Bearer KEY'", code="missing_api_key")
        given = _digest(key.strip())
        # All are compared, each in constant time: how long it takes says nothing about any key.
        matches = [known for known in (*self._of_environment, *self._of_file) if hmac.compare_digest(known, given)]
        if not matches:
            raise ApiError(401, "this API key is not known here", code="invalid_api_key")
        return given

    def _look(self) -> None:
        if self._file is None or self._clock() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._clock()
        if (version := _version(self._file)) == self._version:
            return
        self._version = version
        try:
            self._of_file = _digests(_keys_in_file(self._file))
        except (ValueError, OSError) as error:
            self._of_file = []
            _logger.error(f"no key of the file is accepted: {error}")


def check_origin(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> None:
    """Browsers name the origin of the page that sends a request; it must be this server's or an ``allowed`` one. Raises
    :class:`ApiError` (403)."""
    if origin is None or "*" in allowed or origin in allowed or (host and _host_of(origin) == host):
        return
    raise ApiError(403, f"origin {origin!r} is not allowed: see --cors-origin", code="origin_not_allowed")


def _host_of(origin: str) -> str | None:
    """With its port; None where there is none, as of a page that came from a file."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _keys_in_variable(environment: Mapping[str, str]) -> list[str]:
    if KEYS_VARIABLE not in environment:
        return []
    keys = [key.strip() for key in environment[KEYS_VARIABLE].split(",")]
    return _some([key for key in keys if key], f"{KEYS_VARIABLE}: expected keys separated by commas")


def _keys_in_file(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"keys_file {file}: expected text in UTF-8: {error}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    return _some(keys, f"keys_file {file}: expected a key a line")


def _some(keys: list[str], expected: str) -> list[str]:
    if not keys:
        raise ValueError(f"{expected}, found none")
    if odd := next((key for key in keys if not (key.isascii() and key.isprintable())), None):
        raise ValueError(f"{expected}, of printable ASCII, found {odd[:4]!r}…")
    return keys


def _version(file: Path | None) -> tuple[int, ...] | None:
    """Changes with the file, or with what stands in its place; None where nothing can be found."""
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _digests(keys: list[str]) -> list[bytes]:
    return [_digest(key) for key in keys]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
