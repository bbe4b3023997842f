"""The gateway's end of the connections."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.messages import Finish, HiddenStates, StageMessage, TextDelta
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.stages import client as client_module
from serve_app.stages import transport as transport_module
from serve_app.stages import worker as worker_module
from serve_app.stages.codec import decode
from serve_app.stages.messages import Heartbeat, StageOutput
from serve_app.stages.transport import Endpoint, is_reachable
from tests.fakes import GROUP, POISON, REFUSED, FakeSpeechDecoder, FakeThinker
from tests.serve_app.stages.stage_pair import (
    SPEECH_DECODER,
    Handle,
    Pair,
    client_of,
    request,
    rest,
    start,
    whole,
    with_stage,
)


def test_a_request_is_worked_on_to_its_end() -> None:
    async def ask(pair: Pair) -> None:
        messages = await whole(pair, request())
        assert "".join(m.text for m in messages if isinstance(m, TextDelta)) == "you said one two three "
        assert messages[-1] == Finish("stop", 1, 5)

    with_stage(ask)


def test_a_stage_is_fed_through_its_connection() -> None:
    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            for word in range(3):
                await connection.send(HiddenStates(np.full((GROUP, 2), word, np.float32), final=word == 2))
            units = np.concatenate([message.ids for message in await rest(connection)])
        assert units.tolist() == [0] * 8 + [1] * 8 + [2] * 8

    with_stage(feed, SPEECH_DECODER, FakeSpeechDecoder(1))


def test_requests_at_once_do_not_mix() -> None:
    async def ask(pair: Pair) -> None:
        replies = await asyncio.gather(*(whole(pair, request(f"number {n}")) for n in range(2)))
        texts = ["".join(m.text for m in messages if isinstance(m, TextDelta)) for messages in replies]
        assert texts == [f"you said number {n} " for n in range(2)]

    with_stage(ask)


@pytest.mark.parametrize("outputs", [0, 1, 3])
def test_a_client_that_leaves_frees_its_slot(outputs: int) -> None:
    async def leave(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request("word " * 10_000))
            received = aiter(connection)
            for _ in range(outputs):
                await anext(received)

    with_stage(leave)


def test_a_cancelled_task_frees_its_slot() -> None:
    async def leave(pair: Pair) -> None:
        task = asyncio.create_task(whole(pair, request("word " * 10_000)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_stage(leave)


def test_calls_that_are_cancelled_while_the_first_connects_harm_no_later_one() -> None:
    async def ask(pair: Pair) -> None:
        tasks = [asyncio.create_task(whole(pair, request())) for _ in range(4)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await pair.free()
        assert (await whole(pair, request()))[-1] == Finish("stop", 1, 5)

    with_stage(ask)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [(REFUSED, RequestRefused, "the prompt is too long"), (f"a {POISON}", StageFailed, "RuntimeError: poisoned")],
)
def test_what_goes_wrong_in_the_stage_is_raised_at_the_client(text: str, error: type[Exception], why: str) -> None:
    async def ask(pair: Pair) -> None:
        with pytest.raises(error, match=why):
            await whole(pair, request(text))

    with_stage(ask)


def test_a_full_stage_is_busy() -> None:
    async def ask(pair: Pair) -> None:
        async with pair.client.connect() as first, pair.client.connect() as second, pair.client.connect() as third:
            await start(first, request("word " * 10_000))
            await start(second, request("word " * 10_000))
            with pytest.raises(StageBusy, match="all 2 slots are taken"):
                await start(third, request())

    with_stage(ask)


def test_a_message_that_a_stage_does_not_take_fails_its_own_stream_alone() -> None:
    class Strict(FakeSpeechDecoder):
        def push(self, stream: int, message: StageMessage) -> None:
            if not isinstance(message, HiddenStates):
                raise TypeError(f"the speech decoder takes HiddenStates, got {type(message).__name__}")
            super().push(stream, message)

    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as bad, pair.client.connect() as good:
            await start(bad, request(speak=True))
            await start(good, request(speak=True))
            await bad.send(TextDelta("what"))
            with pytest.raises(ReplyFailed, match="takes HiddenStates, got TextDelta"):
                await rest(bad)
            await good.send(HiddenStates(np.zeros((GROUP, 2), np.float32), final=True))
            assert len((await rest(good))[0].ids) == 2 * GROUP

    with_stage(feed, SPEECH_DECODER, Strict(2))


def test_what_is_sent_to_a_stage_that_has_ended_its_part_does_not_lose_what_it_made() -> None:
    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            for word in range(3):
                await connection.send(HiddenStates(np.full((GROUP, 2), word, np.float32), final=False))
            while pair.worker.engine.open_streams:
                await asyncio.sleep(0.01)
            for word in range(3, 100):
                await connection.send(HiddenStates(np.full((GROUP, 2), word, np.float32), final=False))
                await asyncio.sleep(0)
            units = await rest(connection)
        assert units[-1].finish == "length"
        assert np.concatenate([message.ids for message in units]).tolist() == [0] * 8 + [1] * 8 + [2] * 8

    with_stage(feed, SPEECH_DECODER, FakeSpeechDecoder(1, cut_after=24))


def test_a_failure_reaches_a_client_that_keeps_sending() -> None:
    class Strict(FakeSpeechDecoder):
        def push(self, stream: int, message: StageMessage) -> None:
            raise ValueError("too wide")

    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            for _ in range(100):
                await connection.send(HiddenStates(np.zeros((GROUP, 3), np.float32), final=False))
                await asyncio.sleep(0.002)
            with pytest.raises(ReplyFailed, match="too wide"):
                await rest(connection)

    with_stage(feed, SPEECH_DECODER, Strict(1))


def test_a_stream_that_is_opened_after_a_failed_step_is_answered() -> None:
    class Slow(FakeThinker):
        def step(self) -> bool:
            if self.streams:
                time.sleep(0.3)
                raise RuntimeError("out of memory")
            return False

    async def ask(pair: Pair) -> None:
        async def fails() -> None:
            with pytest.raises(StageFailed, match="out of memory"):
                await whole(pair, request())

        first = asyncio.create_task(fails())
        await asyncio.sleep(0.1)  # the step that will fail runs
        await asyncio.wait_for(fails(), 2)
        await first
        await asyncio.wait_for(fails(), 2)
        assert not await pair.client.answers()

    with_stage(ask, engine=Slow(3))


def test_a_stage_whose_engine_hangs_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(client_module, "_kill_replica", lambda endpoint: killed.append(endpoint.replica))
    killed: list[str] = []

    class Hangs(FakeThinker):
        def step(self) -> bool:
            if self.streams:
                time.sleep(2)
            return False

    async def ask(pair: Pair) -> None:
        with pytest.raises(StageLost, match="has not ended a step for 1"):
            await whole(pair, request())
        assert killed == ["none"]

    with_stage(ask, engine=Hangs(1))


def test_a_stage_that_sends_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 600)
    monkeypatch.setattr(client_module, "_kill_replica", lambda endpoint: None)

    async def ask(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            with pytest.raises(StageLost, match="silent for 2 s"):
                await rest(connection)

    with_stage(ask, SPEECH_DECODER, FakeSpeechDecoder(1))


def test_a_stage_that_waits_for_input_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 0.1)

    async def ask(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            await asyncio.sleep(2.5)
            await connection.send(HiddenStates(np.zeros((GROUP, 2), np.float32), final=True))
            assert len(await rest(connection)) == 1

    with_stage(ask, SPEECH_DECODER, FakeSpeechDecoder(1))


def test_a_probe_says_whether_a_request_would_be_worked_on() -> None:
    async def ask(pair: Pair) -> None:
        assert await pair.client.answers()
        await pair.server.stop()
        assert not await pair.client.answers()

    with_stage(ask)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(BackPressureError(num_queued_requests=9, max_queued_requests=8), StageBusy), (RayActorError(), StageLost)],
)
def test_a_connection_that_cannot_be_reserved_is_an_error(error: Exception, kind: type[StageError]) -> None:
    async def refuse() -> AsyncIterator[Endpoint]:
        raise error
        yield

    async def ask() -> None:
        with pytest.raises(kind):
            async with client_of(refuse).connect():
                pass

    asyncio.run(ask())


def test_connecting_to_a_dead_process_loses_the_stage() -> None:
    async def gone() -> AsyncIterator[Endpoint]:
        yield Endpoint("127.0.0.1:1", "token", "none")

    async def ask() -> None:
        with pytest.raises(StageLost, match="the connection broke: UNAVAILABLE"):
            async with client_of(gone).connect() as connection:
                await start(connection, request())

    asyncio.run(ask())


def test_a_replica_that_hangs_is_killed_while_reserving(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = asyncio.Event()
    monkeypatch.setattr(client_module, "_kill_replica", lambda endpoint: killed.set())
    monkeypatch.setattr(transport_module, "_REACH_SECONDS", 0.2)
    endpoints: list[Endpoint] = []

    async def reserve() -> AsyncIterator[Endpoint]:
        if endpoints:
            yield endpoints.pop()
        else:
            await killed.wait()
            raise RayActorError()

    async def ask(pair: Pair) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel connects, and nothing answers
            live = pair.server.reserve()
            endpoints.append(Endpoint(f"127.0.0.1:{mute.getsockname()[1]}", "token", "hangs"))
            client = client_of(reserve, silence=0.25)
            with pytest.raises(StageLost):
                async with client.connect() as connection:
                    await start(connection, request())
            killed.clear()
            assert await is_reachable(live.endpoint)
            live.cancel()
            with pytest.raises(StageLost, match="could not reserve a connection: RayActorError"):
                async with client.connect():
                    pass
        assert killed.is_set()

    with_stage(ask)


def test_reserving_slowly_kills_no_replica_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_kill_replica", lambda endpoint: pytest.fail(endpoint.replica))

    async def ask(pair: Pair) -> None:
        pending = pair.server.reserve()

        async def reserve() -> AsyncIterator[Endpoint]:
            yield pending.endpoint
            await pending.wait_end()

        client = client_of(reserve, silence=0.25)
        async with client.connect() as connection:
            await start(connection, request())
            await rest(connection)
        pending.cancel()
        pending = pair.server.reserve()

        async def late() -> AsyncIterator[Endpoint]:
            await asyncio.sleep(1)
            async for endpoint in reserve():
                yield endpoint

        client._handle = cast(DeploymentHandle[Any], Handle(late))
        async with client.connect() as connection:
            await start(connection, request())
            assert (await rest(connection))[-1] == Finish("stop", 1, 5)
        pending.cancel()

    with_stage(ask)


def test_heartbeats_are_not_emitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 0.01)
    received: list[Any] = []

    def recording_decode(data: bytes) -> tuple[float, Any]:
        seconds, item = decode(data)
        received.append(item)
        return seconds, item

    monkeypatch.setattr(client_module, "decode", recording_decode)

    async def ask(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request())
            items = [item async for item in connection]
        assert any(isinstance(item, Heartbeat) for item in received), "they reach the client between the outputs"
        assert {type(item) for item in items} == {StageOutput}
        assert items[-1].messages[-1] == Finish("stop", 1, 5)

    with_stage(ask, engine=FakeThinker(1, step_seconds=0.05))
