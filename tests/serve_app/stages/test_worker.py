"""What a replica does for each connection, over a connection without a network."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import numpy as np
import pytest

from opens2s_core.inference.engine import ContextLengthExceeded, Engine, StreamId
from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Units
from opens2s_core.inference.records import Record
from serve_app.config import StageConfig
from serve_app.observability.stage_playbacks import NOBODY
from serve_app.stages import worker as worker_module
from serve_app.stages.messages import Accepted, EndOfStream, Failure, Heartbeat, Probe, StageOutput
from serve_app.stages.server import ServerConnection
from serve_app.stages.worker import StageWorker
from tests.fakes import POISON, FakeThinker, FakeToken2Wav, reply_request, stage_request

THINKER, _, TOKEN2WAV = OPENS2S.stages
UNITS = Units(np.arange(25), final=False)  # two seconds
END = Units(np.zeros(0, np.int64), final=True)


class FakeConnection:
    """``messages`` are what the gateway sends; an exception is raised in its place. None closes the connection."""

    def __init__(self, *messages: Any) -> None:
        self.sent: list[Any] = []
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        for message in messages:
            self.messages.put_nowait(message)

    async def receive(self) -> Any:
        message = await self.messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def wait_for(self, kind: type[Any]) -> None:
        while not any(isinstance(message, kind) for message in self.sent):
            await asyncio.sleep(0.01)


async def handle(worker: StageWorker, request: Any, connection: FakeConnection) -> None:
    await worker.handle(request, cast(ServerConnection, connection))


def with_worker(engine: Engine, test: Callable[[StageWorker], Awaitable[None]]) -> None:
    spec = TOKEN2WAV if isinstance(engine, FakeToken2Wav) else THINKER
    worker = StageWorker(spec, engine, StageConfig())

    async def run() -> None:
        async with asyncio.timeout(10):
            await test(worker)
            while worker.engine.open_streams:
                await asyncio.sleep(0.01)

    try:
        asyncio.run(run())
    finally:
        worker.engine.stop()


def test_a_stage_says_that_it_accepted_and_that_it_ended() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection(None)
        await handle(worker, stage_request(reply_request()), connection)
        first, *outputs, last = connection.sent
        assert (first, last) == (Accepted(), EndOfStream())
        assert {type(output) for output in outputs} == {StageOutput}

    with_worker(FakeThinker(1), ask)


def test_a_connection_lasts_until_the_gateway_closes_it_but_its_slot_is_free_at_the_end() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection()
        handling = asyncio.create_task(handle(worker, stage_request(reply_request()), connection))
        await connection.wait_for(EndOfStream)
        while worker.engine.open_streams:
            await asyncio.sleep(0.01)
        connection.messages.put_nowait(UNITS)  # was on its way
        await asyncio.sleep(0.05)
        assert not handling.done()
        connection.messages.put_nowait(None)
        await handling

    with_worker(FakeThinker(1), ask)


def test_a_gateway_that_disconnects_frees_its_slot() -> None:
    async def leave(worker: StageWorker) -> None:
        connection = FakeConnection()
        handling = asyncio.create_task(handle(worker, stage_request(reply_request("word " * 10_000)), connection))
        await connection.wait_for(StageOutput)
        handling.cancel()
        await asyncio.wait([handling])

    with_worker(FakeThinker(1), leave)


def test_a_message_that_cannot_be_read_fails_its_reply() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection(UNITS, ValueError("9 bytes cannot be read"), UNITS, None)
        await handle(worker, stage_request(reply_request()), connection)
        assert connection.sent[-1] == Failure(kind="reply_failed", message="token2wav: 9 bytes cannot be read")

    with_worker(FakeToken2Wav(1), ask)


@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError("why"), "refused"), (ContextLengthExceeded("why"), "context_length_exceeded")]
)
def test_a_refusal_says_of_which_kind_it_is(error: Exception, kind: str) -> None:
    class Refuses(FakeThinker):
        def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
            raise error

    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection(None)
        await handle(worker, stage_request(reply_request()), connection)
        assert connection.sent == [Failure(kind=kind, message="why")]  # type: ignore[arg-type]

    with_worker(Refuses(1), ask)


def test_a_full_stage_says_so() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection(None)
        await handle(worker, stage_request(reply_request()), connection)
        assert connection.sent == [Failure(kind="busy", message="all 0 slots are taken")]

    with_worker(FakeThinker(0), ask)


def test_a_probe_is_accepted_until_the_engine_fails() -> None:
    async def ask(worker: StageWorker) -> None:
        good, failing, bad = FakeConnection(), FakeConnection(None), FakeConnection()
        await handle(worker, Probe(), good)
        assert good.sent == [Accepted()]
        await handle(worker, stage_request(reply_request(f"a {POISON}")), failing)
        await handle(worker, Probe(), bad)
        reason = "the engine failed: RuntimeError: poisoned"
        assert failing.sent[-1] == bad.sent[-1] == Failure(kind="stage_failed", message=reason)

    with_worker(FakeThinker(1), ask)


def test_a_probe_takes_no_slot() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection()
        await handle(worker, Probe(), connection)
        assert connection.sent == [Accepted()]

    with_worker(FakeThinker(0), ask)


def test_a_stage_that_waits_for_its_input_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 0.01)

    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection()
        handling = asyncio.create_task(handle(worker, stage_request(reply_request()), connection))
        await connection.wait_for(Heartbeat)
        connection.messages.put_nowait(END)
        await connection.wait_for(EndOfStream)
        heartbeats = len(connection.sent)
        await asyncio.sleep(0.05)
        assert len(connection.sent) == heartbeats, "none after the end"
        connection.messages.put_nowait(None)
        await handling

    with_worker(FakeToken2Wav(1), ask)


def test_what_a_replica_makes_counts_as_headroom_of_its_listeners() -> None:
    async def ask(worker: StageWorker) -> None:
        connection = FakeConnection(UNITS)
        handling = asyncio.create_task(handle(worker, stage_request(reply_request()), connection))
        await connection.wait_for(StageOutput)
        assert 1 < worker.playbacks.least_headroom() <= 2
        connection.messages.put_nowait(END)
        connection.messages.put_nowait(None)
        await handling
        assert worker.playbacks.least_headroom() == NOBODY
        assert isinstance(connection.sent[1].messages[0], AudioChunk)

    with_worker(FakeToken2Wav(1), ask)
