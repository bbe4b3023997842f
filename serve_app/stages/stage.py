"""The deployment that serves any stage of a reply."""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import ray.util
import torch
from ray import serve

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import StageSpec
from serve_app.config import StageConfig
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed
from serve_app.observability.metrics import StageMetrics
from serve_app.observability.stage_playbacks import StagePlaybacks
from serve_app.stages.engine_thread import EngineStream, EngineThread
from serve_app.stages.messages import Accepted, Failure, FailureKind, Heartbeat, Probe, StageOutput, StageRequest
from serve_app.stages.server import StageConnection, StageServer
from serve_app.stages.transport import Endpoint

HEARTBEAT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StageState:
    """Slots taken in the engine, clients connected or expected, tasks of the event loop."""

    slots: int
    connections: int
    tasks: int


class Stage:
    """One engine behind streaming calls. Serve chooses the replica and counts the calls; a call lasts as long as the
    gRPC connection that was reserved by it."""

    async def __init__(self, spec: StageSpec, build: Callable[[], Engine], config: StageConfig) -> None:  # type: ignore[misc]
        torch.set_num_threads(config.compute_threads)
        os.nice(config.niceness)
        self._name = spec.name
        self._stall_seconds = config.stall_seconds
        self._engine = EngineThread(build(), spec, coalesce_seconds=config.coalesce_seconds)
        self._playbacks = StagePlaybacks()
        self._metrics = StageMetrics(spec.name, self._engine)
        replica = serve.get_replica_context().replica_id.to_full_id_str()
        self._server = StageServer(
            self._handle,
            host=ray.util.get_node_ip_address(),
            replica=replica,
            transferred=partial(self._metrics.transfers.observe, spec.name),
        )
        await self._server.start()
        if config.switch_seconds is not None:
            sys.setswitchinterval(config.switch_seconds)
        gc.collect()
        gc.freeze()  # models and libraries stay: the collector need not look at them again

    async def reserve(self) -> AsyncIterator[Endpoint]:
        """Where to connect for one :class:`StageRequest`; the call lasts until that connection ends."""
        async with self._server.reserve() as (endpoint, ended):
            yield endpoint
            await ended()

    async def _handle(self, request: StageRequest | Probe, connection: StageConnection) -> None:
        try:
            if isinstance(request, Probe):
                self._engine.check(self._stall_seconds)
                await connection.send(Accepted())
            else:
                await self._work(request, connection)
        except (RequestRefused, ReplyFailed, StageError) as error:
            await connection.send(failure(error))

    async def _work(self, request: StageRequest, connection: StageConnection) -> None:
        stream = self._engine.open(request)
        receiving = asyncio.create_task(self._receive(connection, stream))
        beating = asyncio.create_task(self._beat(stream))
        try:
            with closing(stream), self._playbacks.of(request) as playback:
                async for item in stream:
                    if isinstance(item, StageOutput):
                        playback.add(item.messages)
                    await connection.send(item)
        finally:
            receiving.cancel()
            beating.cancel()

    async def _receive(self, connection: StageConnection, stream: EngineStream) -> None:
        """Feed the engine whatever the client sends. What cannot be read fails the stream."""
        try:
            while (message := await connection.receive()) is not None:
                stream.push(message)
        except ValueError as error:
            stream.put(ReplyFailed(f"{self._name}: {error}"))

    async def _beat(self, stream: EngineStream) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            stream.put(Heartbeat(self._engine.stalled()))

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For the policy of ``serve_app.stages.autoscaling``: the least headroom of any listener, in seconds."""
        return {"headroom": self._playbacks.least_headroom()}

    async def state(self) -> StageState:
        """What this replica holds now, for those who look for leaks."""
        return StageState(self._engine.open_streams, self._server.connections, len(asyncio.all_tasks()))

    async def check_health(self) -> None:
        """Serve replaces the replica once this raises; it asks every second."""
        self._metrics.report()
        self._engine.check(self._stall_seconds)

    def __del__(self) -> None:
        self._engine.stop()


def failure(error: Exception) -> Failure:
    """What the client is sent of an error."""
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
