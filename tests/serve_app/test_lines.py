"""The line between a caller and a stage, over real sockets on this machine."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, TextDelta
from opens2s_core.inference.records import ReplyRecord
from serve_app import lines
from serve_app.calls import Made, Opened
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageFailed, StageLost
from serve_app.lines import Failure, Lease, Line, LineServer

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
        server = LineServer("thinker")
        async with asyncio.timeout(10):
            await test(server, await server.address())

    asyncio.run(run())


def test_a_caller_on_the_line_keeps_its_lease() -> None:
    async def hold(server: LineServer, place: Opened) -> None:
        held = Held(server, "a")
        line = await Line.open("thinker", place, "a", lambda: 0)
        await asyncio.sleep(20 * BEAT)
        assert not held.lost.is_set()
        line.close()

    on_a_server(hold)


def test_what_a_caller_grants_arrives_and_never_shrinks() -> None:
    async def grant(server: LineServer, place: Opened) -> None:
        held, granted = Held(server, "a", granted=5), 5
        line = await Line.open("thinker", place, "a", lambda: granted)
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
        line = await Line.open("thinker", place, "a", lambda: 0)
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
        line = await Line.open("thinker", place, "a", lambda: 0)
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
        line = await Line.open("thinker", place, "a", lambda: 0)
        await asyncio.sleep(8 * BEAT)
        line.close()
        assert not held.lost.is_set()

    on_a_server(end)


@pytest.mark.parametrize("said", [b"nobody\n1\n", b"a\nnonsense\n-5\n\n", b"x" * 10_000, b"\xff\xfe\n"])
def test_what_strangers_say_grants_nothing_and_ends_nothing(said: bytes) -> None:
    async def say(server: LineServer, place: Opened) -> None:
        held = Held(server, "b")
        line = await Line.open("thinker", place, "b", lambda: 0)
        _, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(said)
        await asyncio.sleep(8 * BEAT)
        assert held.lease.granted == 0
        assert not held.lost.is_set()
        writer.close()
        line.close()

    on_a_server(say)


def test_a_place_where_nobody_listens_is_a_lost_stage() -> None:
    with pytest.raises(StageLost, match=r"nobody listens at 127\.0\.0\.1:1"):
        asyncio.run(Line.open("thinker", Opened("127.0.0.1", 1), "a", lambda: 0))


def made(text: str) -> Made:
    return Made(messages=(TextDelta(text),), record=ReplyRecord())


def test_what_a_stage_sends_arrives_in_order_and_then_the_end() -> None:
    async def send(server: LineServer, place: Opened) -> None:
        lease = server.take("a", 0)
        samples = AudioChunk(np.arange(100_000, dtype=np.int16), final=True)
        sending = asyncio.create_task(
            send_all(lease, made("one"), Made(messages=(samples,), record=ReplyRecord()), None)
        )
        line = await Line.open("thinker", place, "a", lambda: 0)
        received = [await line.receive() for _ in range(3)]
        await sending
        assert received[0] is not None
        assert received[0][1] == made("one")
        assert received[1] is not None
        np.testing.assert_array_equal(received[1][1].messages[0].samples, samples.samples)
        assert received[2] is None
        line.close()

    on_a_server(send)


async def send_all(lease: Lease, *items: Made | Failure | None) -> None:
    for item in items:
        await lease.send(item)


@pytest.mark.parametrize(
    "error", [RequestRefused("too long"), ReplyFailed("not finite"), StageFailed("thinker", "broke")]
)
def test_what_went_wrong_is_raised_where_it_is_received(error: Failure) -> None:
    async def fail(server: LineServer, place: Opened) -> None:
        lease = server.take("a", 0)
        line = await Line.open("thinker", place, "a", lambda: 0)
        await lease.send(error)
        with pytest.raises(type(error)) as raised:
            await line.receive()
        assert raised.value.args == error.args
        line.close()

    on_a_server(fail)


def test_a_line_that_the_stage_breaks_is_a_lost_stage() -> None:
    async def cut(server: LineServer, place: Opened) -> None:
        lease = server.take("a", 0)
        line = await Line.open("thinker", place, "a", lambda: 0)
        await lease.send(made("one"))
        await line.receive()
        lease.lose()
        with pytest.raises(StageLost, match="the line to it broke"):
            await line.receive()
        line.close()

    on_a_server(cut)


def test_a_stage_waits_for_a_caller_that_is_full_until_it_is_lost() -> None:
    async def fill(server: LineServer, place: Opened) -> None:
        lease = server.take("a", 0)
        line = await Line.open("thinker", place, "a", lambda: 0)  # which receives nothing
        big = Made(messages=(AudioChunk(np.zeros(10**6, np.int16), final=False),), record=ReplyRecord())
        sending = asyncio.create_task(send_all(lease, *[big] * 100))
        await asyncio.sleep(10 * BEAT)
        assert not sending.done()
        lease.lose()
        with pytest.raises(CallerLost):
            await sending
        line.close()

    on_a_server(fill)


def test_a_stage_whose_caller_never_calls_gives_up() -> None:
    async def wait(server: LineServer, place: Opened) -> None:
        lease = server.take("a", 0)
        with pytest.raises(CallerLost):
            await lease.send(made("one"))

    on_a_server(wait)
