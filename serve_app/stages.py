"""The deployment that serves any stage of a reply, and how others call it."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import torch
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from serve_app.calls import Attempt, Caller, Made, Opened
from serve_app.config import STAGES, StageName
from serve_app.engine_thread import EngineThread
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageBusy, StageError, StageLost
from serve_app.lines import Line, LineServer
from serve_app.listeners import Listeners
from serve_app.metrics import StageMetrics
from serve_app.relay import relay

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
        try:
            item = await anext(self._call)
            if isinstance(item, Opened):
                self._line = Line(item, self._attempt, self._caller.granted)
                self._caller.taken()
                item = await anext(self._call)
        except RayTaskError as error:
            raise self._named(error.cause) from error
        except (RayError, RayServeException) as error:
            raise self._named(error) from error
        self._transferred(self._stage, max(0.0, time.time() - item.sent))
        return item

    def cancel(self) -> None:
        if self._line is not None:
            self._line.close()
        # Cancelling a call that no replica took raises what it failed with, which iterating has already told.
        with suppress(RayServeException, RayError):
            self._call.cancel()

    def _named(self, error: Exception) -> Exception:
        if isinstance(error, RequestRefused | ReplyFailed | StageError):
            return error
        if isinstance(error, BackPressureError):
            return StageBusy(self._stage, "all places to wait in are taken")
        return StageLost(self._stage, type(error).__name__)


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
        self._name = name
        self._upstream = upstream
        self._engine = EngineThread(build(), name)
        self._lines = LineServer()
        self._listeners = Listeners()
        self._metrics = StageMetrics(name, self._engine)

    async def reply(self, attempt: Attempt) -> AsyncIterator[Opened | Made]:
        """Where to hold the line, and then what leaves this stage as it comes. Raises as :class:`Call` does."""
        lease = self._lines.take(attempt.id, attempt.granted)
        try:
            yield await self._lines.address()
            messages = relay(self._name, self._engine, attempt, self._ask_upstream(attempt), lease)
            async with aclosing(messages):
                with self._listeners.listening(attempt.sample_rate) as listener:
                    async for made in messages:
                        listener.hear(made.messages)
                        yield made
        except CallerLost as error:
            _logger.warning(json.dumps({"event": "caller_lost", "attempt": attempt.id, "why": str(error)}))
        finally:
            self._lines.end(attempt.id)

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
