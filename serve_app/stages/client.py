"""The gateway's end of the connections: a stage's part of a reply, made in another process."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import grpc
import ray
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.messages import StageMessage
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.stages.codec import decode, encode
from serve_app.stages.messages import Accepted, EndOfStream, Failure, Heartbeat, Probe, StageOutput, StageRequest
from serve_app.stages.transport import METHOD, TOKEN, Endpoint, client_channel, is_reachable

_TICK_SECONDS = 0.25
_LIVE_SECONDS = 1.5
_PROBE_SECONDS = 2.0


class StageConnection:
    """One stage's part of a reply, from the gateway's side. ``send`` and iterating raise :class:`RequestRefused`,
    :class:`ReplyFailed` and :class:`StageError`.

    A stage that sends nothing for ``silence_seconds``, or whose engine has not ended a step for ``stall_seconds``,
    counts as lost, and ``on_hang`` is called. Silence is counted in ticks of this event loop: what it missed while it
    was busy itself is not the stage's fault.
    """

    def __init__(
        self,
        stage: str,
        call: Any,
        *,
        silence_seconds: float,
        stall_seconds: float,
        transferred: Callable[[float], None],
        on_hang: Callable[[], None],
    ) -> None:
        self.received = -math.inf  # when something last was
        self._stage = stage
        self._call = call
        self._silence_ticks = max(1, round(silence_seconds / _TICK_SECONDS))
        self._stall_seconds = stall_seconds
        self._transferred = transferred
        self._on_hang = on_hang

    async def send(self, message: StageRequest | Probe | StageMessage) -> None:
        """Waits while the stage does not read."""
        writing = self._call.write(encode(message))
        try:
            # The first write also connects. Later silence of the stage is detected by the reader.
            await (writing if self.received > -math.inf else self._in_time(writing))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._lost(error)

    async def accepted(self) -> None:
        """Returns once the stage has given the request a slot."""
        item = await self._next()
        if not isinstance(item, Accepted):
            raise StageFailed(self._stage, f"expected it to accept the request, got {type(item).__name__}")

    async def __aiter__(self) -> AsyncIterator[StageOutput]:
        while (item := await self._next()) is not None:
            yield item

    async def _next(self) -> Any:
        """What the stage sends next, heartbeats left out; None at its end."""
        while True:
            data = await self._read()
            if data is grpc.aio.EOF:
                raise StageLost(self._stage, f"{await self._call.code()}: {await self._call.details()}")
            try:
                seconds, item = decode(data)
            except ValueError as error:
                raise StageFailed(self._stage, str(error)) from error
            self._transferred(seconds)
            match item:
                case Heartbeat(stalled):
                    if stalled > self._stall_seconds:
                        self._hang(f"its engine has not ended a step for {stalled:.1f} s")
                case EndOfStream():
                    return None
                case Failure():
                    self._raise(item)
                case _:
                    return item

    async def _read(self) -> Any:
        """What comes next."""
        try:
            data = await self._in_time(self._call.read())
        except grpc.aio.AioRpcError as error:
            self._lost(error)
        self.received = time.monotonic()
        return data

    async def _in_time(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What ``work`` returns, before the stage counts as silent."""
        working = asyncio.ensure_future(work)
        try:
            for _ in range(self._silence_ticks):
                done, _ = await asyncio.wait({working}, timeout=_TICK_SECONDS)
                if done:
                    return working.result()
        finally:
            working.cancel()
        return self._hang(f"silent for {self._silence_ticks * _TICK_SECONDS:g} s")

    def _hang(self, reason: str) -> NoReturn:
        self._on_hang()
        raise StageLost(self._stage, reason)

    def _lost(self, error: Exception) -> NoReturn:
        code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "closed"
        raise StageLost(self._stage, f"the connection broke: {code}") from error

    def _raise(self, failure: Failure) -> NoReturn:
        match failure.kind:
            case "refused" | "context_length_exceeded":
                raise RequestRefused(failure.message, code=failure.kind)
            case "busy":
                raise StageBusy(self._stage, failure.message)
            case "reply_failed":
                raise ReplyFailed(failure.message)
            case "stage_failed":
                raise StageFailed(self._stage, failure.message)
            case "stage_lost":
                raise StageLost(self._stage, failure.message)


class StageClient:
    """Opens connections to one stage, whose replica Serve chooses."""

    def __init__(
        self,
        stage: str,
        handle: DeploymentHandle,
        *,
        silence_seconds: float,
        stall_seconds: float,
        transferred: Callable[[str, float], None],
    ) -> None:
        self.stage = stage
        self._handle = handle.options(stream=True)
        self._silence_seconds = silence_seconds
        self._stall_seconds = stall_seconds
        self._transferred = partial(transferred, stage)
        self._connections: set[StageConnection] = set()
        self._replicas: dict[str, Endpoint] = {}  # endpoints that were reserved before, by replica

    async def answers(self) -> bool:
        """Whether the stage works: a connection has received something lately, or a probe is accepted. The first is for
        a stage that is full, where no probe gets a connection."""
        if any(time.monotonic() - connection.received < _LIVE_SECONDS for connection in self._connections):
            return True
        try:
            async with asyncio.timeout(_PROBE_SECONDS), self.connect() as connection:
                await connection.send(Probe())
                await connection.accepted()
        except (StageError, TimeoutError):
            return False
        return True

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[StageConnection]:
        """A connection to a replica that has room, once there is one. Raises :class:`StageBusy`, :class:`StageLost`."""
        reserve_call: Any = self._handle.reserve.remote()  # Serve does not type what is streamed
        try:
            endpoint = await self._reserved(reserve_call)
            async with client_channel(endpoint.address) as channel:
                call = channel.stream_stream(METHOD)(metadata=((TOKEN, endpoint.token),))
                connection = StageConnection(
                    self.stage,
                    call,
                    silence_seconds=self._silence_seconds,
                    stall_seconds=self._stall_seconds,
                    transferred=self._transferred,
                    on_hang=lambda: _kill_replica(endpoint),
                )
                self._connections.add(connection)
                try:
                    yield connection
                finally:
                    self._connections.discard(connection)
                    call.cancel()
        finally:
            # Cancelling a call that no replica took raises what it failed with, which has been raised already.
            with suppress(RayServeException, RayError):
                reserve_call.cancel()

    async def _reserved(self, reserve_call: Any) -> Endpoint:
        """The endpoint. Waits for a free slot or a new replica. Serve may also have sent the call to a replica that
        hangs, so the known replicas are checked after each ``silence_seconds``."""
        reserving = asyncio.ensure_future(anext(reserve_call))
        try:
            while not (await asyncio.wait({reserving}, timeout=self._silence_seconds))[0]:
                await self._kill_hanging()
            endpoint: Endpoint = reserving.result()
        except BackPressureError as error:
            raise StageBusy(self.stage, "every queue for it is full") from error
        except (RayError, RayServeException, StopAsyncIteration) as error:
            raise StageLost(self.stage, f"could not reserve a connection: {type(error).__name__}") from error
        finally:
            reserving.cancel()
        self._replicas[endpoint.replica] = endpoint
        return endpoint

    async def _kill_hanging(self) -> None:
        """Kill the known replicas whose process does not accept a connection."""
        known = list(self._replicas.values())
        for endpoint, reachable in zip(known, await asyncio.gather(*map(is_reachable, known)), strict=True):
            if not reachable:
                self._replicas.pop(endpoint.replica, None)
                _kill_replica(endpoint)


def _kill_replica(endpoint: Endpoint) -> None:
    """Kill a replica, which Serve then replaces at once; a hanging one it replaces only after several missed checks."""
    with suppress(ValueError):  # it is gone already
        ray.kill(ray.get_actor(endpoint.replica, namespace="serve"))
