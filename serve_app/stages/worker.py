"""What a replica does for each connection: it feeds its engine from it, and sends what the engine makes."""

import asyncio
from contextlib import closing

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import StageSpec
from serve_app.config import StageConfig
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed
from serve_app.observability.metrics import StageMetrics
from serve_app.observability.stage_playbacks import StagePlaybacks
from serve_app.stages.engine_thread import EngineStream, EngineThread
from serve_app.stages.messages import (
    Accepted,
    EndOfStream,
    Failure,
    FailureKind,
    Heartbeat,
    Probe,
    StageOutput,
    StageRequest,
)
from serve_app.stages.server import ServerConnection

HEARTBEAT_SECONDS = 0.5


class StageWorker:
    """One engine in its thread, and the listeners of what it makes."""

    def __init__(self, spec: StageSpec, engine: Engine, config: StageConfig) -> None:
        self._name = spec.name
        self._stall_seconds = config.stall_seconds
        self.engine = EngineThread(engine, spec, coalesce_seconds=config.coalesce_seconds, niceness=config.niceness)
        self.playbacks = StagePlaybacks()
        self.metrics = StageMetrics(spec.name, self.engine)

    def check(self) -> None:
        """Raises :class:`StageError` where no request would be worked on."""
        self.engine.check(self._stall_seconds)

    async def handle(self, request: StageRequest | Probe, connection: ServerConnection) -> None:
        """To the end of what is asked for; what goes wrong is sent as a :class:`Failure`."""
        if isinstance(request, Probe):
            try:
                self.check()
                await connection.send(Accepted())
            except StageError as error:
                await connection.send(_failure(error))
        else:
            await self._work(request, connection)

    async def _work(self, request: StageRequest, connection: ServerConnection) -> None:
        stream = self.engine.open(request)
        receiving = asyncio.create_task(self._receive(connection, stream))
        try:
            try:
                await self._send_all(request, stream, connection)
                await connection.send(EndOfStream())
            except (RequestRefused, ReplyFailed, StageError) as error:
                await connection.send(_failure(error))
            await receiving  # the gateway closes the connection
        finally:
            receiving.cancel()

    async def _send_all(self, request: StageRequest, stream: EngineStream, connection: ServerConnection) -> None:
        heartbeats = asyncio.create_task(self._send_heartbeats(stream))
        try:
            with closing(stream), self.playbacks.of(request) as playback:
                async for item in stream:
                    if isinstance(item, StageOutput):
                        playback.add(item.messages)
                    await connection.send(item)
        finally:
            heartbeats.cancel()

    async def _receive(self, connection: ServerConnection, stream: EngineStream) -> None:
        """Feed the engine what the gateway sends, until it closes the connection. What cannot be read fails the
        stream."""
        while True:
            try:
                message = await connection.receive()
            except ValueError as error:
                stream.put(ReplyFailed(f"{self._name}: {error}"))
                continue
            if message is None:
                return
            stream.push(message)

    async def _send_heartbeats(self, stream: EngineStream) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            stream.put(Heartbeat(self.engine.stalled()))


def _failure(error: Exception) -> Failure:
    """The message that reports ``error`` to the gateway."""
    match error:
        case RequestRefused(code="context_length_exceeded"):
            kind: FailureKind = "context_length_exceeded"
        case RequestRefused():
            kind = "refused"
        case StageBusy():
            kind = "busy"
        case ReplyFailed():
            kind = "reply_failed"
        case StageFailed():
            kind = "stage_failed"
        case _:
            kind = "stage_lost"
    return Failure(kind=kind, message=error.reason if isinstance(error, StageError) else str(error))
