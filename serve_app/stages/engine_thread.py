"""An engine in a thread of its own, seen from the event loop. Nothing here computes on the loop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from opens2s_core.inference.engine import Engine, EngineFull, StreamFailed, StreamId
from opens2s_core.inference.messages import ReplyRequest, StageMessage, Units
from opens2s_core.inference.records import Record, ReplyRecord, SoundRecord, TextRecord, UnitsRecord
from serve_app.config import STAGES, StageName
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.gateway.calls import Attempt, Made, ends_a_part, parts_of_stage
from serve_app.stages.outbox import Outbox

_STUCK_SECONDS = 60.0
"""No step of a model that still computes takes so long."""
_GIVE_WAY_SECONDS = 0.06
"""For which a lone stream rests behind its first units: where stages share cores, those are sound sooner, and they are
sound for ten times as long."""


class EngineStream:
    """One reply's slot in the engine, under way from the start; it ends when the stage's part of the reply does. It is
    the caller's to close. Iterating raises :class:`RequestRefused`, :class:`ReplyFailed` or :class:`StageError`."""

    def __init__(self, thread: "EngineThread", ends: int, *, speaks: bool) -> None:
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Queue[Made | Exception] = asyncio.Queue()
        self._to_come = ends
        self.id: StreamId | None = None  # while it is open in the engine
        self.outbox = Outbox()  # the engine's thread's
        self.speaks = speaks  # its first units were handed out

    def push(self, message: StageMessage) -> None:
        """Hand the engine the next message of the stage before it."""
        self._thread.tell(partial(self._thread.push, self, message))

    def fail(self, error: Exception) -> None:
        """Let iterating raise this."""
        self._made.put_nowait(error)

    def deliver(self, item: Made | Exception) -> None:
        """Called by the engine's thread: what iterating shall yield or raise."""
        self._loop.call_soon_threadsafe(self._made.put_nowait, item)

    async def __aiter__(self) -> AsyncIterator[Made]:
        while self._to_come:
            item = await self._made.get()
            if isinstance(item, Exception):
                raise item
            self._to_come -= sum(map(ends_a_part, item.messages))
            yield item

    def close(self) -> None:
        """Free the slot; commands are obeyed in order, so a later ``open`` finds it free."""
        self._thread.tell(partial(self._thread.close, self))


class EngineThread:
    """Drives one engine. The public half is called on an event loop, ``push`` and ``close`` by the thread itself."""

    def __init__(self, engine: Engine, stage: StageName) -> None:
        self.capacity = engine.capacity
        self._stage = stage
        self._engine = engine
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._streams: set[EngineStream] = set()
        self._failure: BaseException | None = None
        self._busy_since: float | None = None
        self._resting_until = 0.0
        self._thread = threading.Thread(target=self._run, name=stage, daemon=True)
        self._thread.start()

    def open(self, attempt: Attempt) -> EngineStream:
        """Ask for a slot; a refusal is raised by the stream."""
        ends = parts_of_stage(self._stage, attempt.request)
        stream = EngineStream(self, ends, speaks=attempt.record.sound is not None)
        record: Record | None = attempt.record.by_stage()[STAGES.index(self._stage)]
        self.tell(partial(self._open, stream, attempt.request, record))
        if self._failure is not None:
            stream.fail(StageLost(self._stage, self._reason()))
        return stream

    def tell(self, command: Callable[[], None]) -> None:
        """Have the thread do something between two steps."""
        self._commands.put(command)

    def check(self) -> None:
        """Raises :class:`StageError` once the engine is dead, or does not come back from a step."""
        if self._failure is not None:
            raise StageFailed(self._stage, self._reason())
        since = self._busy_since
        if since is not None and time.monotonic() - since > _STUCK_SECONDS:
            raise StageLost(self._stage, f"a step has not ended for {_STUCK_SECONDS:g} s")

    def stop(self) -> None:
        """End the thread after what it was already told to do."""
        self._commands.put(None)
        self._thread.join()

    @property
    def open_streams(self) -> int:
        """How many slots are taken."""
        return len(self._streams)

    def push(self, stream: EngineStream, message: StageMessage) -> None:
        if stream.id is not None:
            self._engine.push(stream.id, message)

    def close(self, stream: EngineStream) -> None:
        if stream.id is not None:
            self._engine.close(stream.id)
            self._streams.discard(stream)
            stream.id = None  # what is still on its way to it comes to nothing

    def _open(self, stream: EngineStream, request: ReplyRequest, record: Record | None) -> None:
        try:
            stream.id = self._engine.open(request, record)
        except EngineFull as error:
            stream.deliver(StageBusy(self._stage, str(error)))
        except ValueError as error:
            stream.deliver(_caused(RequestRefused(str(error)), error))
        else:
            self._streams.add(stream)
            self._resting_until = 0.0  # who comes now does not wait for others

    def _run(self) -> None:
        busy = False
        try:
            while self._obey(wait=self._rest() if busy else None):
                if self._rest():
                    busy = True  # what it is told meanwhile waits too
                    continue
                self._busy_since = time.monotonic()
                busy = self._engine.step()
                self._busy_since = None
                for stream in list(self._streams):
                    self._collect(stream, more_comes=busy)
        except BaseException as error:
            # The engine's memory is in an unknown state: every reply in it ends, and so does the replica.
            self._failure = error
            for stream in self._streams:
                self._hand_out(stream, more_comes=False)
                stream.deliver(StageFailed(self._stage, self._reason()))
            raise

    def _collect(self, stream: EngineStream, *, more_comes: bool) -> None:
        """Deliver what a stream has made, or that it alone cannot go on."""
        assert stream.id is not None
        try:
            if chunks := self._engine.chunks(stream.id):
                stream.outbox.put(Made(messages=tuple(chunks), record=_of_reply(self._engine.record(stream.id))))
            self._hand_out(stream, more_comes=more_comes)
        except StreamFailed as error:
            self._hand_out(stream, more_comes=False)
            stream.deliver(_caused(ReplyFailed(f"{self._stage}: {error}"), error))
            self.close(stream)

    def _hand_out(self, stream: EngineStream, *, more_comes: bool) -> None:
        if made := stream.outbox.take(more_comes=more_comes):
            stream.deliver(made)
            if not stream.speaks and any(isinstance(message, Units) for message in made.messages):
                stream.speaks = True
                if len(self._streams) == 1:
                    self._resting_until = time.monotonic() + _GIVE_WAY_SECONDS

    def _rest(self) -> float:
        """Seconds for which whatever there is to do can wait."""
        return max(0.0, self._resting_until - time.monotonic())

    def _obey(self, *, wait: float | None) -> bool:
        """Do what was asked for, after waiting for it so many seconds (None: until it comes); False at the end."""
        with suppress(Empty):
            while (command := self._commands.get(block=wait != 0, timeout=wait)) is not None:
                command()
                wait = 0
            return False
        return True

    def _reason(self) -> str:
        return f"the engine failed: {type(self._failure).__name__}: {self._failure}"


def _caused(error: RequestRefused | ReplyFailed | StageError, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _of_reply(record: Record) -> ReplyRecord:
    match record:
        case TextRecord():
            return ReplyRecord(text=record)
        case UnitsRecord():
            return ReplyRecord(units=record)
        case SoundRecord():
            return ReplyRecord(sound=record)
