"""Headers as Serve's proxy reads them."""

import asyncio
from typing import Any

import pytest

from serve_app.proxy import CleanHeaders, middlewares


def cleaned(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """What is left of a request's headers after the middleware."""
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])

    asyncio.run(CleanHeaders(app)({"type": "http", "headers": list(headers)}, None, None))  # type: ignore[arg-type]
    return dict(seen)


def test_a_plain_request_id_is_kept() -> None:
    assert cleaned((b"x-request-id", b"call-7")) == {b"x-request-id": b"call-7"}


@pytest.mark.parametrize("odd", [b"\xe9", b"a" * 129, b"\xff\xfe", "ü".encode(), b" ", b""])
def test_an_odd_request_id_is_replaced(odd: bytes) -> None:
    replaced = cleaned((b"x-request-id", odd))[b"x-request-id"]
    assert replaced.isalnum()
    assert len(replaced) == 32


def test_other_headers_that_are_no_text_are_dropped() -> None:
    assert cleaned((b"x-odd", b"\xff"), (b"x-name", "Zoë".encode())) == {b"x-name": "Zoë".encode()}


def test_every_proxy_has_it() -> None:
    assert [middleware.cls for middleware in middlewares()] == [CleanHeaders]
