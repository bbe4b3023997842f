"""Admission control: one limiter, first come first served. A request holds no slot before its body is complete."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter

from serve_app.errors import ApiError, overloaded

ClientKey = bytes | None
"""The digest of a client's key; None where no key is needed."""


class Admission:
    """``running`` requests hold a slot at once, ``waiting`` more may wait for one, and each client may have
    ``per_client`` of both together."""

    def __init__(self, running: int, waiting: int, per_client: int) -> None:
        self._limiter = CapacityLimiter(running)
        self._waiting = waiting
        self._per_client = per_client
        self._of_client: Counter[ClientKey] = Counter()

    def resize(self, running: int, waiting: int) -> None:
        """Requests that hold a slot keep it."""
        self._limiter.total_tokens = running
        self._waiting = waiting

    def check(self, client: ClientKey) -> None:
        """Raises :class:`ApiError` (429, 503) where a request would be refused now: before its body is read."""
        if client is not None and self._of_client[client] >= self._per_client:
            message = f"{self._per_client} replies are under way for this key: expected no more at once"
            raise ApiError(429, message, code="rate_limit_exceeded")
        full = self._limiter.available_tokens <= 0
        if full and self._limiter.statistics().tasks_waiting >= self._waiting:
            raise overloaded()

    @asynccontextmanager
    async def slot(self, client: ClientKey) -> AsyncIterator[None]:
        """A slot, once it is this request's turn. Raises as :meth:`check` does."""
        self.check(client)
        self._of_client[client] += 1
        borrower = object()
        try:
            await self._limiter.acquire_on_behalf_of(borrower)
            try:
                yield
            finally:
                self._limiter.release_on_behalf_of(borrower)
        finally:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]
