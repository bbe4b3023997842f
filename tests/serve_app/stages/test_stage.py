"""How a stage is called: through Serve for a place, which answers as each test says, then on a real line."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.messages import ReplyRequest, TextDelta
from opens2s_core.inference.records import ReplyRecord
from opens2s_core.prompt import Message, Text
from serve_app.errors import StageBusy, StageError, StageLost
from serve_app.gateway.calls import Made
from serve_app.stages import stage as stages
from serve_app.stages.lines import ExpectedCaller, LineServer, Place
from serve_app.stages.stage import RemoteCall
from tests.fakes import attempt

ATTEMPT = attempt(ReplyRequest(messages=(Message("user", (Text("hello"),)),)))
Answer = Callable[[], Awaitable[Place]]


class Call:
    """In the place of Serve's generator for one call."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Place]:
        return self

    async def __anext__(self) -> Place:
        return await self._answer()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """In the place of Serve's handle: one answer for each call."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.calls: list[Call] = []

    @property
    def reply(self) -> "Handle":
        return self

    def remote(self) -> Call:
        self.calls.append(Call(self._answers.pop(0)))
        return self.calls[-1]


async def silence() -> Place:
    return await asyncio.Future()


def failure(error: Exception) -> Answer:
    async def fail() -> Place:
        raise error

    return fail


def called(*answers: Answer, test: Callable[[RemoteCall, Handle], Awaitable[None]]) -> None:
    """Carry out ``test`` with a call that is answered so; nothing of it may be left."""
    handle = Handle(*answers)

    async def run() -> None:
        async with asyncio.timeout(10):
            call = RemoteCall("thinker", cast(DeploymentHandle[Any], handle), lambda *_: None)
            await test(call, handle)
            call.cancel()
            await asyncio.sleep(0.01)
            assert len(asyncio.all_tasks()) == 1
            assert handle.calls[-1].cancelled

    asyncio.run(run())


def test_whoever_waits_in_vain_for_a_place_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_PLACE_SECONDS", 0.05)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    server = LineServer("thinker")
    expected: list[ExpectedCaller] = []

    async def place() -> Place:
        expected.append(await server.expect())
        return expected[0].place

    async def begin(call: RemoteCall, handle: Handle) -> None:
        await call.begin(ATTEMPT)
        assert [one.cancelled for one in handle.calls] == [True, True, False]
        line = await expected[0].line()
        assert (await line.receive())[1] == ATTEMPT
        made = Made(messages=(TextDelta("hi"),), record=ReplyRecord())
        await line.send(made)
        await line.send(None)
        assert [one async for one in call] == [made]
        expected[0].close()
        assert server._listening is not None
        (await server._listening).close()

    called(silence, silence, place, test=begin)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BackPressureError(num_queued_requests=9, max_queued_requests=8), StageBusy),
        (RayActorError(), StageLost),
    ],
)
def test_a_call_that_is_not_taken_says_why(error: Exception, told: type[StageError]) -> None:
    async def begin(call: RemoteCall, _: Handle) -> None:
        with pytest.raises(told, match="thinker: "):
            await call.begin(ATTEMPT)

    called(failure(error), test=begin)


def test_a_call_that_waits_for_a_place_can_be_cancelled() -> None:
    async def wait(call: RemoteCall, handle: Handle) -> None:
        await asyncio.sleep(0.01)
        assert not handle.calls[0].cancelled

    called(silence, test=wait)


def test_a_place_where_nobody_listens_any_more_is_a_lost_stage() -> None:
    async def gone() -> Place:
        return Place("127.0.0.1", 1, b"")

    async def begin(call: RemoteCall, _: Handle) -> None:
        with pytest.raises(StageLost, match="nobody answers"):
            await call.begin(ATTEMPT)

    called(gone, test=begin)
