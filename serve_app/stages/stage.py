"""The deployment that serves any stage of a reply, and how others call it."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import torch
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.messages import StageMessage
from serve_app.config import StageName
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageBusy, StageError, StageLost
from serve_app.gateway.calls import Attempt, Made
from serve_app.observability.listeners import Listeners
from serve_app.observability.metrics import StageMetrics
from serve_app.stages.engine_thread import EngineStream, EngineThread
from serve_app.stages.lines import Line, LineServer, Place, line_to
from serve_app.stages.process import be_prompt

_NICENESS: dict[StageName, int] = {"thinker": 6, "speech_decoder": 3, "token2wav": 0}
"""Where stages share cores, the one nearest to the listener comes first, as in one process."""
_PLACE_SECONDS = 20.0
"""Serve has noticed by then that a replica hangs, but does not ask another for those who wait for that one."""
_logger = logging.getLogger("ray.serve")


class RemoteCall:
    """One stage's part of a reply, made in another process; it lasts as long as this one holds a line there."""

    def __init__(
        self, stage: StageName, handle: DeploymentHandle, transferred: Callable[[StageName, float], None]
    ) -> None:
        self._stage = stage
        self._transferred = transferred
        self._handle = handle
        self._call: Any = handle.reply.remote()  # Serve does not type what is streamed
        self._opening = asyncio.create_task(self._open())

    async def begin(self, attempt: Attempt) -> None:
        line = await self._opening
        await line.send(attempt)

    async def send(self, message: StageMessage) -> None:
        await self._opening.result().send(message)

    async def __aiter__(self) -> AsyncIterator[Made]:
        line = self._opening.result()
        while True:
            seconds, item = await line.receive()
            if item is None:
                line.close()
                return
            if isinstance(item, Exception):
                raise item
            self._transferred(self._stage, seconds)
            yield item

    def cancel(self) -> None:
        if not self._opening.cancel() and not self._opening.cancelled() and self._opening.exception() is None:
            self._opening.result().close()
        # Cancelling a call that no replica took raises what it failed with, which beginning it has already told.
        with suppress(RayServeException, RayError):
            self._call.cancel()

    async def _open(self) -> Line:
        return await line_to(self._stage, await self._placed())

    async def _placed(self) -> Place:
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PLACE_SECONDS):
                        return await anext(self._call)
                self._call.cancel()
                self._call = self._handle.reply.remote()
        except BackPressureError as error:
            raise StageBusy(self._stage, "all places to wait in are taken") from error
        except (RayError, RayServeException) as error:
            raise StageLost(self._stage, type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class StageState:
    """Slots taken in the engine, callers who hold lines, tasks of the event loop."""

    slots: int
    callers: int
    tasks: int


class Stage:
    """One engine behind streaming calls."""

    def __init__(self, name: StageName, build: Callable[[], Engine], threads: int) -> None:
        torch.set_num_threads(threads)
        os.nice(_NICENESS[name])
        self._name = name
        self._engine = EngineThread(build(), name)
        self._lines = LineServer(name)
        self._listeners = Listeners()
        self._metrics = StageMetrics(name, self._engine)
        be_prompt()

    async def reply(self) -> AsyncIterator[Place]:
        """Where to hold the line for one :class:`Attempt`; the call lasts until all that it asks for has been sent."""
        caller = await self._lines.expect()
        with closing(caller), suppress(CallerLost):
            yield caller.place
            await self._work(await caller.line())

    async def _work(self, line: Line) -> None:
        attempt: Attempt = (await line.receive())[1]
        stream = self._engine.open(attempt)
        hearing = asyncio.create_task(self._hear(line, stream))
        try:
            with closing(stream), self._listeners.listening(attempt.sample_rate) as listener:
                async for made in stream:
                    listener.hear(made.messages)
                    await line.send(made)
            await line.send(None)
        except CallerLost as error:
            _logger.info(json.dumps({"event": "caller_lost", "attempt": attempt.id, "why": str(error)}))
        except (RequestRefused, ReplyFailed, StageError) as error:
            await line.send(error)
        finally:
            hearing.cancel()

    async def _hear(self, line: Line, stream: EngineStream) -> None:
        """Whatever the caller hands over, until it is lost."""
        try:
            while True:
                seconds, message = await line.receive()
                self._metrics.transferred(self._name, seconds)
                stream.push(message)
        except CallerLost as error:
            stream.fail(error)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For the policy of ``serve_app.stages.autoscaling``: seconds that the listener nearest to running dry has."""
        return {"slack": self._listeners.slack()}

    async def state(self) -> StageState:
        """What this replica holds now, for those who look for leaks."""
        return StageState(slots=self._engine.open_streams, callers=self._lines.callers, tasks=len(asyncio.all_tasks()))

    def check_health(self) -> None:
        """Serve replaces the replica once this raises; it asks every second."""
        self._metrics.report()
        self._engine.check()

    def __del__(self) -> None:
        self._engine.stop()
