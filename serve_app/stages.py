"""The deployment that serves any stage of a reply, and how others call it."""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import torch
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from serve_app.calls import Attempt, Caller, Made, Opened
from serve_app.config import STAGES, StageName
from serve_app.engine_thread import EngineThread
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageBusy, StageError, StageLost
from serve_app.lines import Lease, Line, LineServer
from serve_app.listeners import Listeners
from serve_app.metrics import StageMetrics
from serve_app.relay import Relay

_SWITCH_SECONDS = 0.0005
_NICENESS: dict[StageName, int] = {"thinker": 6, "speech_decoder": 3, "token2wav": 0}
"""Where stages share cores, the one nearest to the listener comes first, as in one process."""
_logger = logging.getLogger("ray.serve")


class StageCall:
    """A reply under way in another process, which lasts as long as this one holds a line to it."""

    def __init__(
        self,
        stage: StageName,
        handle: DeploymentHandle,
        attempt: Attempt,
        caller: Caller,
        transferred: Callable[[StageName, float], None],
    ) -> None:
        self._stage = stage
        self._attempt = attempt.id
        self._caller = caller
        self._transferred = transferred
        self._line: Line | None = None
        self._call: Any = handle.options(stream=True).reply.remote(attempt)  # Serve does not type what is streamed

    def __aiter__(self) -> "StageCall":
        return self

    async def __anext__(self) -> Made:
        if self._line is None:
            place = await self._placed()
            self._line = await Line.open(self._stage, place, self._attempt, self._caller.granted)
            self._caller.taken()
        received = await self._line.receive()
        if received is None:
            raise StopAsyncIteration
        sent, made = received
        self._transferred(self._stage, max(0.0, time.time() - sent))
        return made

    def cancel(self) -> None:
        if self._line is not None:
            self._line.close()
        # Cancelling a call that no replica took raises what it failed with, which iterating has already told.
        with suppress(RayServeException, RayError):
            self._call.cancel()

    async def _placed(self) -> Opened:
        try:
            return await anext(self._call)
        except BackPressureError as error:
            raise StageBusy(self._stage, "all places to wait in are taken") from error
        except (RayError, RayServeException) as error:
            raise StageLost(self._stage, type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class StageState:
    """Slots taken in the engine, callers whose lines are held, tasks of the event loop."""

    slots: int
    leases: int
    tasks: int


class Stage:
    """One engine behind streaming calls."""

    def __init__(
        self, name: StageName, build: Callable[[], Engine], upstream: DeploymentHandle | None, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        # The engine's thread must not keep the event loop waiting: what it made shall leave while it makes more.
        sys.setswitchinterval(_SWITCH_SECONDS)
        os.nice(_NICENESS[name])
        self._name = name
        self._upstream = upstream
        self._engine = EngineThread(build(), name)
        self._lines = LineServer(name)
        self._listeners = Listeners()
        self._metrics = StageMetrics(name, self._engine)
        gc.collect()
        gc.freeze()  # models and libraries stay: nobody need look for garbage in them again

    async def reply(self, attempt: Attempt) -> AsyncIterator[Opened]:
        """Where to hold the line, down which comes what leaves this stage; the call lasts until all of it has."""
        lease = self._lines.take(attempt.id, attempt.granted)
        relay = Relay(self._name, self._engine, attempt, self._ask_upstream(attempt), lease)
        try:
            with closing(relay):
                yield await self._lines.address()
                await self._send(relay, lease, attempt)
        except CallerLost as error:
            _logger.info(json.dumps({"event": "caller_lost", "attempt": attempt.id, "why": str(error)}))
        finally:
            self._lines.end(attempt.id)

    async def _send(self, relay: Relay, lease: Lease, attempt: Attempt) -> None:
        try:
            with self._listeners.listening(attempt.sample_rate) as listener:
                async for made in relay:
                    listener.hear(made.messages)
                    await lease.send(made)
            await lease.send(None)
        except CallerLost:
            raise
        except (RequestRefused, ReplyFailed, StageError) as error:
            await lease.send(error)

    def _ask_upstream(self, attempt: Attempt) -> StageCall | None:
        if self._upstream is None:
            return None
        before = STAGES[STAGES.index(self._name) - 1]
        return StageCall(before, self._upstream, attempt.upstream(), Caller(), self._metrics.transferred)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For the policy of ``serve_app.autoscaling``: how many seconds the listener nearest to running dry has."""
        return {"slack": self._listeners.slack()}

    async def state(self) -> StageState:
        """What this replica holds now, for those who look for leaks."""
        return StageState(slots=self._engine.open_streams, leases=self._lines.leases, tasks=len(asyncio.all_tasks()))

    def check_health(self) -> None:
        """Serve replaces the replica once this raises; it asks every second."""
        self._metrics.report()
        self._engine.check()

    def __del__(self) -> None:
        self._engine.stop()
