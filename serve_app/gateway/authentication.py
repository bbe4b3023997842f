"""Who may ask, and how much at once."""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from serve_app.config import Access
from serve_app.errors import ApiError

KEYS_VARIABLE = "OPENS2S_API_KEYS"


def read_keys(access: Access, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The keys of the file and of the environment; none where neither is given.

    ``ValueError`` for a file without keys: what was meant to be closed must not stand open.
    """
    keys = [key.strip() for key in environment.get(KEYS_VARIABLE, "").split(",")]
    if access.keys_file is not None:
        lines = [line.strip() for line in Path(access.keys_file).read_text().splitlines()]
        in_file = [line for line in lines if line and not line.startswith("#")]
        if not in_file:
            raise ValueError(f"keys_file {access.keys_file}: expected a key a line, found none")
        keys += in_file
    return tuple(key for key in keys if key)


class Gate:
    """Lets in who holds one of ``keys``, each for so many replies at once; everyone where there are none."""

    def __init__(self, keys: tuple[str, ...], replies_per_key: int) -> None:
        self._keys = [_digest(key) for key in keys]
        self._limit = replies_per_key
        self._replies: Counter[bytes] = Counter()

    def holder(self, authorization: str | None) -> bytes | None:
        """Who asks, by the ``Authorization`` header; None where no key is needed. Raises :class:`ApiError` (401)."""
        if not self._keys:
            return None
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, "no API key: expected the header 'Authorization: Bearer KEY'", code="missing_api_key")
        given = _digest(key.strip())
        # All are compared, each in constant time: how long it takes says nothing about any key.
        matches = [known for known in self._keys if hmac.compare_digest(known, given)]
        if not matches:
            raise ApiError(401, "this API key is not known here", code="invalid_api_key")
        return given

    @contextmanager
    def place(self, holder: bytes | None) -> Iterator[None]:
        """Room for one reply. Raises :class:`ApiError` (429) where the holder has as many under way as allowed."""
        if holder is None:
            yield
            return
        if self._replies[holder] >= self._limit:
            message = f"{self._limit} replies are under way for this key: expected no more at once"
            raise ApiError(429, message, code="rate_limit_exceeded")
        self._replies[holder] += 1
        try:
            yield
        finally:
            self._replies[holder] -= 1


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
