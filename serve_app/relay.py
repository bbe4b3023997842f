"""One reply's way through one stage: in from the stage before, through the engine, on to whoever called."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial

from opens2s_core.inference.messages import Hiddens, StageMessage, Units
from opens2s_core.inference.records import Record
from serve_app.calls import Attempt, Call, Made, ends_a_part, parts
from serve_app.config import STAGES, StageName
from serve_app.engine_thread import EngineStream, EngineThread
from serve_app.errors import CallerLost, StageLost
from serve_app.lines import Lease

TAKES: dict[StageName, type[StageMessage] | None] = {"thinker": None, "speech_decoder": Hiddens, "token2wav": Units}
"""The messages that end at each stage."""


class Relay:
    """Under way from the start. What the stage takes goes into the engine, anything else from upstream is passed on at
    once. Iterating raises as :class:`Call` does, and :class:`CallerLost`.

    ``close`` frees the slot and cancels ``upstream``, however the reply ended; it must be called.
    """

    def __init__(
        self, stage: StageName, engine: EngineThread, attempt: Attempt, upstream: Call | None, lease: Lease
    ) -> None:
        record: Record | None = attempt.record.by_stage()[STAGES.index(stage)]
        self._to_come = parts(attempt.request)
        self._upstream = upstream
        self._stream = engine.open(attempt.request, record)
        intake = _Intake(self._stream, lease)
        lease.on_grant = intake.flow
        lease.on_lost = partial(self._stream.pass_on, CallerLost(stage, "its caller is not heard of any more"))
        self._feeding: asyncio.Task[None] | None = None
        if upstream is not None:
            self._feeding = asyncio.create_task(_feed(intake, attempt, upstream, TAKES[stage]))
            self._feeding.add_done_callback(partial(_end_of_feed, self._stream))

    async def __aiter__(self) -> AsyncIterator[Made]:
        while self._to_come:
            made = await self._stream.receive()
            self._to_come -= sum(map(ends_a_part, made.messages))
            yield made

    def close(self) -> None:
        self._stream.close()
        if self._feeding is not None and self._upstream is not None:
            self._feeding.cancel()
            self._upstream.cancel()


class _Intake:
    """Hands an engine its messages as far as units are granted."""

    def __init__(self, stream: EngineStream, lease: Lease) -> None:
        self.stream = stream
        self._lease = lease
        self._waiting: deque[StageMessage] = deque()
        self._units = 0  # handed over

    def push(self, message: StageMessage) -> None:
        self._waiting.append(message)
        self.flow()

    def flow(self) -> None:
        while self._waiting and self._units < self._lease.granted:
            message = self._waiting.popleft()
            self._units += len(message.ids) if isinstance(message, Units) else 0
            self.stream.push(message)


async def _feed(intake: _Intake, attempt: Attempt, upstream: Call, takes: type[StageMessage] | None) -> None:
    to_come = parts(attempt.request)
    async for made in upstream:
        passed = tuple(message for message in made.messages if takes is None or not isinstance(message, takes))
        # What the engine makes from the rest comes behind the records of what it was made from.
        intake.stream.pass_on(Made(messages=passed, record=made.record))
        for message in made.messages:
            if takes is not None and isinstance(message, takes):
                intake.push(message)
        to_come -= sum(map(ends_a_part, made.messages))
        if not to_come:  # what becomes of the stage before is of no matter any more
            return
    raise StageLost("the stage before", "it ended before the reply did")


def _end_of_feed(stream: EngineStream, feeding: "asyncio.Task[None]") -> None:
    if not feeding.cancelled() and isinstance(error := feeding.exception(), Exception):
        stream.pass_on(error)
