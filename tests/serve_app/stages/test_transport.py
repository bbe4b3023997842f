"""Gateway and stage over real gRPC, fake engines, in one process; Serve's part is a handle that reserves places."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from ray._common.tls_utils import generate_self_signed_tls_certs
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import OPENS2S, StageSpec
from opens2s_core.inference.messages import Finish, Hiddens, ReplyRequest, StageMessage, TextDelta
from opens2s_core.prompt import Message, Text
from serve_app.config import StageConfig
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.stages import server as server_module
from serve_app.stages import worker as worker_module
from serve_app.stages.client import StageClient, StageConnection
from serve_app.stages.messages import Heartbeat
from serve_app.stages.server import StageServer
from serve_app.stages.transport import METHOD, TOKEN, Endpoint, client_channel
from serve_app.stages.worker import StageWorker
from tests.fakes import GROUP, POISON, REFUSED, FakeSpeechDecoder, FakeThinker, stage_request

THINKER, SPEECH_DECODER, _ = OPENS2S.stages


class ReserveCall:
    """In the place of Serve's generator for one call."""

    def __init__(self, reserve: Callable[[], AsyncIterator[Endpoint]]) -> None:
        self._reserved: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(reserve()))

    async def _run(self, call: AsyncIterator[Endpoint]) -> None:
        try:
            async for endpoint in call:
                if not self._reserved.cancelled():
                    self._reserved.set_result(endpoint)
        except (RayActorError, BackPressureError) as error:
            self._reserved.set_exception(error)

    async def __anext__(self) -> Endpoint:
        return await self._reserved

    def cancel(self) -> None:
        self._task.cancel()


class Handle:
    """In the place of Serve's handle; ``reserve`` answers each call."""

    def __init__(self, reserve: Callable[[], AsyncIterator[Endpoint]]) -> None:
        self._answer = reserve
        self.reserve = self

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self) -> ReserveCall:
        return ReserveCall(self._answer)


@dataclass
class Pair:
    """A client and the stage that it connects to."""

    client: StageClient
    server: StageServer
    worker: StageWorker

    async def free(self) -> None:
        """Returns once nothing is held any more on the side of the stage."""
        async with asyncio.timeout(5):
            while self.server.connections or self.worker.engine.open_streams:
                await asyncio.sleep(0.01)


def client_of(reserve: Callable[[], AsyncIterator[Endpoint]], *, silence: float = 2.0) -> StageClient:
    handle = cast(DeploymentHandle[Any], Handle(reserve))
    return StageClient(
        "stage", handle, silence_seconds=silence, stall_seconds=1.0, transferred=lambda stage, seconds: None
    )


def with_stage(
    test: Callable[[Pair], Awaitable[None]],
    spec: StageSpec = THINKER,
    engine: Engine | None = None,
    host: str = "127.0.0.1",
) -> None:
    """Carry out ``test`` against a stage; nothing may be left of it, no task either."""

    async def run() -> None:
        worker = StageWorker(spec, engine or FakeThinker(2), StageConfig())
        server = StageServer(worker.handle, host=host, replica="none")
        await server.start()

        async def reserve() -> AsyncIterator[Endpoint]:
            pending = server.reserve()
            try:
                yield pending.endpoint
                await pending.wait_end()
            finally:
                pending.cancel()

        pair = Pair(client_of(reserve), server, worker)
        try:
            async with asyncio.timeout(20):
                await test(pair)
                await pair.free()
        finally:
            await server.stop()
            worker.engine.stop()

    asyncio.run(run())


def request(text: str = "one two three", *, speak: bool = False) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


async def start(connection: StageConnection, asked: ReplyRequest) -> None:
    await connection.send(stage_request(asked))
    await connection.accepted()


async def rest(connection: StageConnection) -> list[StageMessage]:
    return [message async for output in connection for message in output.messages]


async def whole(pair: Pair, asked: ReplyRequest) -> list[StageMessage]:
    async with pair.client.connect() as connection:
        await start(connection, asked)
        return await rest(connection)


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
                await connection.send(Hiddens(np.full((GROUP, 2), word, np.float32), final=word == 2))
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
            if not isinstance(message, Hiddens):
                raise TypeError(f"the speech decoder takes Hiddens, got {type(message).__name__}")
            super().push(stream, message)

    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as bad, pair.client.connect() as good:
            await start(bad, request(speak=True))
            await start(good, request(speak=True))
            await bad.send(TextDelta("what"))
            with pytest.raises(ReplyFailed, match="takes Hiddens, got TextDelta"):
                await rest(bad)
            await good.send(Hiddens(np.zeros((GROUP, 2), np.float32), final=True))
            assert len((await rest(good))[0].ids) == 2 * GROUP

    with_stage(feed, SPEECH_DECODER, Strict(2))


def test_what_is_sent_to_a_stage_that_has_ended_its_part_does_not_lose_what_it_made() -> None:
    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            for word in range(3):
                await connection.send(Hiddens(np.full((GROUP, 2), word, np.float32), final=False))
            while pair.worker.engine.open_streams:
                await asyncio.sleep(0.01)
            for word in range(3, 100):
                await connection.send(Hiddens(np.full((GROUP, 2), word, np.float32), final=False))
                await asyncio.sleep(0)
            units = await rest(connection)
        assert units[-1].finish == "length"
        assert np.concatenate([message.ids for message in units]).tolist() == [0] * 8 + [1] * 8 + [2] * 8

    with_stage(feed, SPEECH_DECODER, FakeSpeechDecoder(1, cut_after=24))


def test_a_failure_reaches_a_client_that_goes_on_sending() -> None:
    class Strict(FakeSpeechDecoder):
        def push(self, stream: int, message: StageMessage) -> None:
            raise ValueError("too wide")

    async def feed(pair: Pair) -> None:
        async with pair.client.connect() as connection:
            await start(connection, request(speak=True))
            for _ in range(100):
                await connection.send(Hiddens(np.zeros((GROUP, 3), np.float32), final=False))
                await asyncio.sleep(0.002)
            with pytest.raises(ReplyFailed, match="too wide"):
                await rest(connection)

    with_stage(feed, SPEECH_DECODER, Strict(1))


def test_a_stream_that_is_opened_behind_a_failed_step_is_answered() -> None:
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
    monkeypatch.setattr("serve_app.stages.client._end_replica", lambda endpoint: ended.append(endpoint.replica))
    ended: list[str] = []

    class Hangs(FakeThinker):
        def step(self) -> bool:
            if self.streams:
                time.sleep(2)
            return False

    async def ask(pair: Pair) -> None:
        with pytest.raises(StageLost, match="has not ended a step for 1"):
            await whole(pair, request())
        assert ended == ["none"]

    with_stage(ask, engine=Hangs(1))


def test_a_stage_that_falls_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 600)
    monkeypatch.setattr("serve_app.stages.client._end_replica", lambda endpoint: None)

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
            await connection.send(Hiddens(np.zeros((GROUP, 2), np.float32), final=True))
            assert len(await rest(connection)) == 1

    with_stage(ask, SPEECH_DECODER, FakeSpeechDecoder(1))


def test_a_probe_says_whether_a_request_would_be_worked_on() -> None:
    async def ask(pair: Pair) -> None:
        assert await pair.client.answers()
        await pair.server.stop()
        assert not await pair.client.answers()

    with_stage(ask)


def test_a_connection_needs_the_token_of_a_reserved_place() -> None:
    async def connect(pair: Pair) -> None:
        place = pair.server.reserve()
        async with client_channel(place.endpoint.address) as channel:
            call = channel.stream_stream(METHOD)(metadata=((TOKEN, "guessed"),))
            with pytest.raises(grpc.aio.AioRpcError, match="token of a reserved place"):
                await call.read()
        place.cancel()

    with_stage(connect)


@pytest.mark.parametrize("first", [b"", b"garbage", b"\x92\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa1x"])
def test_a_connection_that_begins_with_something_else_is_refused(first: bytes) -> None:
    async def connect(pair: Pair) -> None:
        place = pair.server.reserve()
        async with client_channel(place.endpoint.address) as channel:
            call = channel.stream_stream(METHOD)(metadata=((TOKEN, place.endpoint.token),))
            await call.write(first)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        place.cancel()

    with_stage(connect)


def test_a_place_that_nobody_connects_to_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ATTACH_SECONDS", 0.1)

    async def wait(pair: Pair) -> None:
        place = pair.server.reserve()
        await asyncio.wait_for(place.wait_end(), 2)
        place.cancel()

    with_stage(wait)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(BackPressureError(num_queued_requests=9, max_queued_requests=8), StageBusy), (RayActorError(), StageLost)],
)
def test_a_place_that_serve_does_not_give(error: Exception, kind: type[StageError]) -> None:
    async def refuse() -> AsyncIterator[Endpoint]:
        raise error
        yield

    async def ask() -> None:
        with pytest.raises(kind):
            async with client_of(refuse).connect():
                pass

    asyncio.run(ask())


def test_a_place_at_a_process_that_is_gone_is_a_lost_stage() -> None:
    async def gone() -> AsyncIterator[Endpoint]:
        yield Endpoint("127.0.0.1:1", "token", "none")

    async def ask() -> None:
        with pytest.raises(StageLost, match="the connection broke: UNAVAILABLE"):
            async with client_of(gone).connect() as connection:
                await start(connection, request())

    asyncio.run(ask())


def test_heartbeats_are_not_handed_out() -> None:
    async def ask(pair: Pair) -> None:
        stream = pair.worker.engine.open(stage_request(request()))
        stream.put(Heartbeat(0.0))
        stream.close()
        assert (await whole(pair, request()))[-1] == Finish("stop", 1, 5)

    with_stage(ask)


def test_streams_are_encrypted_where_ray_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    certificate, key = generate_self_signed_tls_certs()
    for name, content in (("cert", certificate), ("key", key)):
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(tmp_path / "cert"))
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "key"))
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "cert"))

    async def ask(pair: Pair) -> None:
        assert (await whole(pair, request()))[-1] == Finish("stop", 1, 5)
        monkeypatch.delenv("RAY_USE_TLS")
        with pytest.raises(StageLost, match="UNAVAILABLE"):  # a client without certificates
            await whole(pair, request())

    with_stage(ask, host="localhost")
