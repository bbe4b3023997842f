"""Reading bodies: within a time, a size, and a budget over all requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
from fastapi import Request

from serve_app.config import GatewayConfig
from serve_app.errors import ApiError
from serve_app.gateway.body import BodyReader

CONFIG = GatewayConfig(buffer_bytes=100, body_idle_seconds=0.1, body_seconds=0.3)


class FakeRequest:
    """A request whose body comes in these chunks, each after ``pause`` seconds."""

    def __init__(self, *chunks: bytes, pause: float = 0.0, length: str | None = None) -> None:
        self.headers = {} if length is None else {"content-length": length}
        self._chunks = chunks
        self._pause = pause

    async def stream(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(self._pause)
            yield chunk


async def read(reader: BodyReader, request: FakeRequest) -> bytes:
    async with reader.read(cast(Request, request)) as body:
        return body


def refusal_of(*chunks: bytes, pause: float = 0.0, length: str | None = None, max_bytes: int = 50) -> ApiError:
    """The refusal of a body; the reader must be able to read another after it."""

    async def run() -> None:
        reader = BodyReader(CONFIG, max_bytes)
        try:
            await read(reader, FakeRequest(*chunks, pause=pause, length=length))
        finally:
            for _ in range(4):
                assert await read(reader, FakeRequest(b"x" * max_bytes)) == b"x" * max_bytes

    with pytest.raises(ApiError) as refused:
        asyncio.run(run())
    return refused.value


def test_a_body_is_all_its_chunks() -> None:
    request = FakeRequest(b"one ", b"", b"two", pause=0.01, length="7")
    assert asyncio.run(read(BodyReader(CONFIG, 50), request)) == b"one two"


@pytest.mark.parametrize(
    ("chunks", "length"), [((), "51"), ((), "9" * 5000), ((b"x" * 30, b"x" * 21), None), ((b"x" * 51,), "1")]
)
def test_a_body_that_is_too_large_is_refused_by_what_it_says_or_is(
    chunks: tuple[bytes, ...], length: str | None
) -> None:
    refused = refusal_of(*chunks, length=length)
    assert (refused.status, refused.code) == (413, "body_too_large")


@pytest.mark.parametrize("length", ["", "-1", "many", "²"])
def test_a_length_that_is_no_number_says_nothing(length: str) -> None:
    assert asyncio.run(read(BodyReader(CONFIG, 50), FakeRequest(b"x", length=length))) == b"x"


def test_an_idle_body_times_out() -> None:
    refused = refusal_of(b"x", pause=0.2)
    assert (refused.status, refused.code) == (408, "body_timeout")
    assert "no data of the body for 0.1 s" in refused.message


def test_a_slow_body_times_out() -> None:
    refused = refusal_of(*[b"x"] * 50, pause=0.05)
    assert (refused.status, refused.code) == (408, "body_timeout")
    assert "the body is not complete after 0.3 s" in refused.message


def with_budget(test: Callable[[BodyReader], Awaitable[None]]) -> None:
    asyncio.run(test(BodyReader(CONFIG, max_bytes=80)))


def test_bodies_that_take_all_memory_together_refuse_the_next_until_they_are_decoded() -> None:
    async def fill(reader: BodyReader) -> None:
        async with reader.read(cast(Request, FakeRequest(b"x" * 60))):
            with pytest.raises(ApiError) as refused:
                await read(reader, FakeRequest(b"x" * 30, b"x" * 30))
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            assert int(refused.value.headers["Retry-After"]) > 0
            assert await read(reader, FakeRequest(b"x" * 40)) == b"x" * 40
        assert await read(reader, FakeRequest(b"x" * 60)) == b"x" * 60

    with_budget(fill)


def test_clients_that_go_while_their_bodies_come_in_leave_the_budget_whole() -> None:
    async def leave(reader: BodyReader) -> None:
        for _ in range(5):
            reading = asyncio.create_task(read(reader, FakeRequest(b"x" * 60, b"y", pause=0.01)))
            await asyncio.sleep(0.015)
            reading.cancel()
            await asyncio.wait([reading])
        assert await read(reader, FakeRequest(b"x" * 80)) == b"x" * 80

    with_budget(leave)
