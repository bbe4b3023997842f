"""Reading the bodies of requests: within a time, a size, and what all of them together may take of memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from serve_app.config import GatewayConfig
from serve_app.errors import ApiError, overloaded

_MAX_DIGITS = 20


class BodyReader:
    """Holds each body's bytes in the budget of all until the request has been decoded."""

    def __init__(self, config: GatewayConfig, max_bytes: int) -> None:
        self._config = config
        self._max_bytes = max_bytes
        self._free = config.buffer_bytes

    @asynccontextmanager
    async def read(self, http: Request) -> AsyncIterator[bytes]:
        """The whole body. Raises :class:`ApiError`: 413 for one that is too large, 408 for one that does not come in
        time, 503 where the bodies of others take all memory that there is for them."""
        self._check_size(_announced(http.headers.get("content-length", "")))
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._config.body_seconds):
                    await self._fill(http, body)
            except TimeoutError as error:
                raise self._timeout(f"the body is not complete after {self._config.body_seconds:g} s") from error
            yield bytes(body)
        finally:
            self._free += len(body)

    async def _fill(self, http: Request, body: bytearray) -> None:
        chunks = aiter(http.stream())
        while True:
            try:
                async with asyncio.timeout(self._config.body_idle_seconds):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise self._timeout(f"no data of the body for {self._config.body_idle_seconds:g} s") from error
            if len(chunk) > self._free:
                raise overloaded()
            self._free -= len(chunk)
            body += chunk
            self._check_size(len(body))

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            message = f"the body is too large: expected at most {self._max_bytes} bytes"
            raise ApiError(413, message, code="body_too_large")

    def _timeout(self, why: str) -> ApiError:
        return ApiError(408, f"{why}: expected it sooner", code="body_timeout")


def _announced(content_length: str) -> int:
    """The size by the header, 0 where it says none. So many digits are a number that is too large for any limit."""
    return int(content_length[:_MAX_DIGITS]) if content_length.isdecimal() else 0
