"""The line between a caller and a stage, over real sockets on this machine."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from serve_app import lines
from serve_app.calls import Opened
from serve_app.lines import Lease, Line, LineServer

BEAT = 0.02


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BEAT_SECONDS", BEAT)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")


class Held:
    """A lease that remembers what became of it."""

    def __init__(self, server: LineServer, attempt: str, granted: int = 0) -> None:
        self.lease: Lease = server.take(attempt, granted)
        self.granted = asyncio.Event()
        self.lost = asyncio.Event()
        self.lease.on_grant = self.granted.set
        self.lease.on_lost = self.lost.set


def on_a_server(test: Callable[[LineServer, Opened], Awaitable[None]]) -> None:
    async def run() -> None:
        server = LineServer()
        async with asyncio.timeout(10):
            await test(server, await server.address())

    asyncio.run(run())


def test_a_caller_on_the_line_keeps_its_lease() -> None:
    async def hold(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        line = Line(place, "a", lambda: 0)
        await asyncio.sleep(20 * BEAT)
        assert not held.lost.is_set()
        line.close()

    on_a_server(hold)


def test_what_a_caller_grants_arrives_and_never_shrinks() -> None:
    async def grant(server: LineServer, place: Opened) -> None:
        held, granted = Held(server, "a", granted=5), 5
        line = Line(place, "a", lambda: granted)
        granted = 9
        await held.granted.wait()
        granted = 3
        await asyncio.sleep(5 * BEAT)
        assert held.lease.granted == 9
        line.close()

    on_a_server(grant)


def test_a_line_that_breaks_loses_the_lease_at_once() -> None:
    async def hang_up(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        line = Line(place, "a", lambda: 0)
        await asyncio.sleep(2 * BEAT)
        line.close()
        async with asyncio.timeout(BEAT):
            await held.lost.wait()

    on_a_server(hang_up)


def test_a_caller_that_never_calls_loses_its_lease() -> None:
    async def stay_away(server: LineServer, place: Opened) -> None:
        await Held(server, "a").lost.wait()

    on_a_server(stay_away)


def test_a_caller_that_falls_silent_loses_its_lease() -> None:
    async def fall_silent(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        _, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"a\n1\n")
        await held.lost.wait()
        assert held.lease.granted == 1
        writer.close()

    on_a_server(fall_silent)


def test_a_process_that_stood_still_does_not_blame_its_callers() -> None:
    async def stand_still(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        line = Line(place, "a", lambda: 0)
        await asyncio.sleep(2 * BEAT)
        time.sleep(20 * BEAT)  # the loop is held up
        await asyncio.sleep(3 * BEAT)
        assert not held.lost.is_set()
        line.close()

    on_a_server(stand_still)


def test_a_call_that_has_ended_is_not_lost() -> None:
    async def end(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        server.end("a")
        line = Line(place, "a", lambda: 0)
        await asyncio.sleep(8 * BEAT)
        line.close()
        assert not held.lost.is_set()

    on_a_server(end)


@pytest.mark.parametrize("said", [b"nobody\n1\n", b"a\nnonsense\n-5\n\n", b"x" * 10_000, b"\xff\xfe\n"])
def test_what_strangers_say_grants_nothing_and_ends_nothing(said: bytes) -> None:
    async def say(server: LineServer, place: Opened) -> None:
        held = Held(server, "b")
        line = Line(place, "b", lambda: 0)
        _, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(said)
        await asyncio.sleep(8 * BEAT)
        assert held.lease.granted == 0
        assert not held.lost.is_set()
        writer.close()
        line.close()

    on_a_server(say)


def test_a_place_where_nobody_listens_is_no_error_of_the_line() -> None:
    async def call() -> None:
        line = Line(Opened("127.0.0.1", 1), "a", lambda: 0)
        await asyncio.sleep(0.1)
        line.close()

    asyncio.run(call())
