"""The line between a caller and a stage, over real sockets on this machine."""

import asyncio
import pickle
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
import pytest
import uvloop

from opens2s_core.inference.messages import AudioChunk, TextDelta
from opens2s_core.inference.records import ReplyRecord
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageError, StageFailed, StageLost
from serve_app.gateway.calls import Made
from serve_app.stages import lines
from serve_app.stages.lines import CALLER_BEATS, STAGE_BEATS, ExpectedCaller, Line, LineServer, Place, line_to

BEAT = 0.02


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BEAT_SECONDS", BEAT)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")


@pytest.fixture(autouse=True, params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def on_every_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Replicas run on uvloop, whose errors are others."""
    asyncio.set_event_loop_policy(request.param())
    yield
    asyncio.set_event_loop_policy(None)


def on_a_server(test: Callable[[LineServer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await test(LineServer("thinker"))

    asyncio.run(run())


def joined(test: Callable[[Line, Line, ExpectedCaller], Awaitable[None]]) -> None:
    """The caller's end of a line, the stage's, and what the stage knows of the caller."""

    async def join(server: LineServer) -> None:
        expected = await server.expect()
        up = await line_to("thinker", expected.place)
        await test(up, await expected.line(), expected)
        up.close()
        expected.close()
        assert not server.callers

    on_a_server(join)


def made(text: str) -> Made:
    return Made(messages=(TextDelta(text),), record=ReplyRecord())


async def send_all(line: Line, *items: object) -> None:
    for item in items:
        await line.send(item)


def test_what_is_sent_arrives_in_order_both_ways() -> None:
    async def send(up: Line, down: Line, _: ExpectedCaller) -> None:
        samples = AudioChunk(np.arange(1_000_000, dtype=np.int16), final=True)
        for one, other in ((up, down), (down, up)):
            sending = asyncio.create_task(send_all(one, made("one"), samples, None))
            received = [(await other.receive())[1] for _ in range(3)]
            await sending
            assert received[0] == made("one")
            np.testing.assert_array_equal(received[1].samples, samples.samples)
            assert received[2] is None

    joined(send)


def test_it_is_known_how_long_an_item_took() -> None:
    async def wait(up: Line, down: Line, _: ExpectedCaller) -> None:
        await down.send(made("one"))
        await asyncio.sleep(3 * BEAT)  # uvloop's may be a millisecond short
        seconds, _ = await up.receive()
        assert 2 * BEAT <= seconds < 1

    joined(wait)


@pytest.mark.parametrize(
    "error", [RequestRefused("too long"), ReplyFailed("not finite"), StageFailed("thinker", "broke")]
)
def test_what_went_wrong_arrives_as_it_is(error: RequestRefused | ReplyFailed | StageError) -> None:
    async def fail(up: Line, down: Line, _: ExpectedCaller) -> None:
        await down.send(error)
        _, received = await up.receive()
        assert type(received) is type(error)
        assert received.args == error.args

    joined(fail)


def holds(during: Callable[[], Awaitable[None]]) -> None:
    """Assert that both ends still listen to each other after what happens."""

    async def hold(up: Line, down: Line, _: ExpectedCaller) -> None:
        receiving = [asyncio.create_task(line.receive()) for line in (up, down)]
        await during()
        assert not any(task.done() for task in receiving)
        for task in receiving:
            task.cancel()

    joined(hold)


def test_a_quiet_line_holds() -> None:
    holds(lambda: asyncio.sleep(3 * STAGE_BEATS * BEAT))


def test_a_process_that_stood_still_does_not_blame_the_other() -> None:
    async def stand_still() -> None:
        await asyncio.sleep(2 * BEAT)
        time.sleep(3 * STAGE_BEATS * BEAT)  # the loop is held up
        await asyncio.sleep(3 * BEAT)

    holds(stand_still)


def test_a_line_that_the_caller_closes_is_a_lost_caller_at_once() -> None:
    async def hang_up(up: Line, down: Line, _: ExpectedCaller) -> None:
        up.close()
        async with asyncio.timeout(BEAT):
            with pytest.raises(CallerLost, match="not heard of"):
                await down.receive()

    joined(hang_up)


def test_a_line_that_the_stage_closes_is_a_lost_stage_at_once() -> None:
    async def cut(up: Line, down: Line, expected: ExpectedCaller) -> None:
        await down.send(made("one"))
        expected.close()
        await up.receive()
        async with asyncio.timeout(BEAT):
            with pytest.raises(StageLost, match="the line to it broke"):
                await up.receive()

    joined(cut)


def test_a_stage_that_dies_with_input_unread_is_lost_to_whoever_sends() -> None:
    async def die(up: Line, down: Line, _: ExpectedCaller) -> None:
        peer = down._writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as the kernel does it then
        down._writer.transport.abort()
        await asyncio.sleep(BEAT)
        with pytest.raises(StageLost, match="the line to it broke"):
            await up.send(made("one"))

    joined(die)


def test_a_caller_that_falls_silent_is_lost() -> None:
    async def fall_silent(server: LineServer) -> None:
        expected = await server.expect()
        _, writer = await asyncio.open_connection(expected.place.host, expected.place.port)
        writer.write(expected.place.secret)
        line = await expected.line()
        began = time.monotonic()
        with pytest.raises(CallerLost):
            await line.receive()
        assert time.monotonic() - began < 2 * CALLER_BEATS * BEAT + 1
        writer.close()
        expected.close()

    on_a_server(fall_silent)


def test_a_stage_that_falls_silent_is_lost() -> None:
    async def run() -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        line = await line_to("thinker", Place(*silent.sockets[0].getsockname(), secret=b"s" * 16))
        async with asyncio.timeout(10):
            with pytest.raises(StageLost, match="fell silent"):
                await line.receive()
        line.close()
        silent.close()

    asyncio.run(run())


def test_whoever_is_full_is_waited_for_until_it_is_lost() -> None:
    async def fill(server: LineServer) -> None:
        expected = await server.expect()
        _, writer = await asyncio.open_connection(expected.place.host, expected.place.port)
        writer.write(expected.place.secret)
        line = await expected.line()
        hearing = asyncio.create_task(line.receive())
        sending = asyncio.create_task(send_all(line, *[np.zeros(10**6)] * 100))
        for _ in range(3 * CALLER_BEATS):  # it is there, and reads nothing
            writer.write(bytes(4))
            await asyncio.sleep(BEAT)
        assert not sending.done()
        writer.transport.abort()
        for task in (sending, hearing):
            with pytest.raises(CallerLost):
                await task
        expected.close()

    on_a_server(fill)


def test_a_caller_that_never_comes_is_given_up() -> None:
    async def wait(server: LineServer) -> None:
        expected = await server.expect()
        with pytest.raises(CallerLost):
            await expected.line()
        expected.close()
        assert not server.callers

    on_a_server(wait)


def test_a_place_where_nobody_listens_is_a_lost_stage() -> None:
    with pytest.raises(StageLost, match=r"nobody answers at 127\.0\.0\.1:1"):
        asyncio.run(line_to("thinker", Place("127.0.0.1", 1, b"")))


def test_a_call_that_has_ended_is_not_answered() -> None:
    async def end(server: LineServer) -> None:
        expected = await server.expect()
        expected.close()
        line = await line_to("thinker", expected.place)
        with pytest.raises(StageLost):
            await line.receive()
        line.close()

    on_a_server(end)


class Harm:
    """What must never be unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return pytest.fail, ("unpickled what a stranger sent",)


def test_what_strangers_send_is_not_looked_at() -> None:
    async def send(server: LineServer) -> None:
        expected = await server.expect()
        place = expected.place
        frame = pickle.dumps((0.0, Harm()))
        for said in (b"", b"x" * 16, b"\xff" * 100_000, bytes(16) + len(frame).to_bytes(4, "big") + frame):
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(said)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)  # hung up on
            writer.close()
        line = await line_to("thinker", place)
        await line.send(made("one"))
        assert (await (await expected.line()).receive())[1] == made("one")
        line.close()
        expected.close()

    on_a_server(send)


def test_a_secret_opens_one_line() -> None:
    async def twice(server: LineServer) -> None:
        expected = await server.expect()
        first = await line_to("thinker", expected.place)
        await expected.line()
        second = await line_to("thinker", expected.place)
        with pytest.raises(StageLost):
            await second.receive()
        await first.send(made("one"))
        assert (await (await expected.line()).receive())[1] == made("one")
        first.close()
        second.close()
        expected.close()

    on_a_server(twice)
