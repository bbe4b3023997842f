"""An engine in a thread of its own, seen from the event loop. Nothing computes on the loop."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from opens2s_core.inference.engine import ContextLengthExceeded, Engine, EngineFull, StreamFailed, StreamId
from opens2s_core.inference.family import StageSpec, is_final
from opens2s_core.inference.messages import StageMessage
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageFailed, StageLost
from serve_app.stages.coalescer import OutputCoalescer
from serve_app.stages.messages import Accepted, Heartbeat, StageOutput, StageRequest

StreamItem = Accepted | StageOutput | Heartbeat


class EngineStream:
    """One reply's slot in the engine; to be closed. Iterating yields :class:`Accepted`, then what the stage makes, to
    its end; it raises :class:`RequestRefused`, :class:`ReplyFailed` or :class:`StageError`."""

    def __init__(self, thread: "EngineThread", ends: frozenset[type[StageMessage]], coalesce_seconds: float) -> None:
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[StreamItem | Exception] = asyncio.Queue()
        self._open_ends = set(ends)
        self.id: StreamId | None = None  # while it is open in the engine; the thread's
        self.coalescer = OutputCoalescer(coalesce_seconds)  # the thread's

    def push(self, message: StageMessage) -> None:
        """Feed the engine the next message of an earlier stage. One that it cannot take fails this stream alone."""
        self._thread.run(partial(self._thread.push, self, message))

    def put(self, item: StreamItem | Exception) -> None:
        """What iterating shall yield or raise next; on the event loop."""
        self._items.put_nowait(item)

    def put_from_thread(self, item: StreamItem | Exception) -> None:
        with suppress(RuntimeError):  # the loop has ended, and its streams with it
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    async def __aiter__(self) -> AsyncIterator[StreamItem]:
        while self._open_ends:
            item = await self._items.get()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, StageOutput):
                self._open_ends -= {type(message) for message in item.messages if is_final(message)}
            yield item

    def close(self) -> None:
        """Free the slot. Commands run in order, so a later ``open`` finds it free."""
        self._thread.run(partial(self._thread.close, self))


class EngineThread:
    """Drives one engine. ``open``, ``run``, ``check`` and ``stop`` are called on an event loop; ``push`` and ``close``
    by the thread itself. Once the engine has failed unexpectedly, its memory is in an unknown state: every stream
    in it ends with :class:`StageFailed`, and so does each one that is opened later."""

    def __init__(self, engine: Engine, spec: StageSpec, *, coalesce_seconds: float = 0.0, niceness: int = 0) -> None:
        self.capacity = engine.capacity
        self._spec = spec
        self._engine = engine
        self._coalesce_seconds = coalesce_seconds
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._streams: set[EngineStream] = set()
        self._failure: Exception | None = None
        self._last_progress = time.monotonic()  # when the thread last ended a step, or had nothing to do
        self._niceness = niceness
        self._thread = threading.Thread(target=self._loop, name=spec.name, daemon=True)
        self._thread.start()

    def open(self, request: StageRequest) -> EngineStream:
        """Ask for a slot; the stream says whether there is one."""
        ends = self._spec.end_types(speak=request.request.speak)
        stream = EngineStream(self, ends, self._coalesce_seconds)
        self.run(partial(self._open, stream, request))
        return stream

    def run(self, command: Callable[[], None]) -> None:
        """Have the thread do something between two steps."""
        self._commands.put(command)

    def stalled(self) -> float:
        """Seconds since the engine last ended a step or was idle. Queues a command that resets this, so an idle thread
        counts as alive."""
        self.run(self._mark)
        return time.monotonic() - self._last_progress

    def check(self, stalled_seconds: float) -> None:
        """Raises :class:`StageError` once the engine has failed, or has not ended a step for so long."""
        if self._failure is not None:
            raise self._failed()
        if (stalled := self.stalled()) > stalled_seconds:
            raise StageLost(self._spec.name, f"a step has not ended for {stalled:.1f} s")

    def stop(self) -> None:
        """End the thread after what it was already asked to do."""
        self._commands.put(None)
        self._thread.join()

    @property
    def open_streams(self) -> int:
        """How many slots are taken."""
        return len(self._streams)

    def push(self, stream: EngineStream, message: StageMessage) -> None:
        if stream.id is None:
            return
        try:
            self._engine.push(stream.id, message)
        except (ValueError, TypeError) as error:
            self._end(stream, ReplyFailed(f"{self._spec.name}: {error}"), error)

    def close(self, stream: EngineStream) -> None:
        self._streams.discard(stream)
        if stream.id is not None:
            self._engine.close(stream.id)
            stream.id = None  # what is still on its way to it is dropped

    def _open(self, stream: EngineStream, request: StageRequest) -> None:
        if self._failure is not None:
            stream.put_from_thread(self._failed())
            return
        self._streams.add(stream)
        try:
            stream.id = self._engine.open(request.request, request.record)
        except EngineFull as error:
            self._end(stream, StageBusy(self._spec.name, str(error)), error)
        except ContextLengthExceeded as error:
            self._end(stream, RequestRefused(str(error), code="context_length_exceeded"), error)
        except (ValueError, TypeError) as error:
            self._end(stream, RequestRefused(str(error)), error)
        else:
            stream.put_from_thread(Accepted())

    def _loop(self) -> None:
        os.nice(self._niceness)  # on Linux of this thread alone: the event loop keeps its priority
        running, busy = True, False
        while running:
            try:
                running = self._run_commands(wait=not busy)
                self._mark()
                busy = running and self._failure is None and self._step()
            except Exception as error:  # noqa: BLE001  whatever it is, every stream ends with it
                self._fail(error)
                busy = False

    def _step(self) -> bool:
        """Whether the engine had anything to do."""
        busy = self._engine.step()
        self._mark()
        for stream in list(self._streams):
            self._collect(stream, more_follows=busy)
        return busy

    def _mark(self) -> None:
        self._last_progress = time.monotonic()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        for stream in self._streams:
            self._flush(stream, more_follows=False)
            stream.put_from_thread(self._failed())
            stream.id = None
        self._streams.clear()

    def _collect(self, stream: EngineStream, *, more_follows: bool) -> None:
        """Deliver what a stream has made, or its failure."""
        assert stream.id is not None
        try:
            if messages := self._engine.chunks(stream.id):
                output = StageOutput(messages=tuple(messages), record=self._engine.record(stream.id))
                stream.coalescer.add(output)
            self._flush(stream, more_follows=more_follows)
        except StreamFailed as error:
            self._flush(stream, more_follows=False)
            self._end(stream, ReplyFailed(f"{self._spec.name}: {error}"), error)

    def _flush(self, stream: EngineStream, *, more_follows: bool) -> None:
        if output := stream.coalescer.take(more_follows=more_follows):
            stream.put_from_thread(output)

    def _end(self, stream: EngineStream, error: Exception, cause: Exception) -> None:
        error.__cause__ = cause
        stream.put_from_thread(error)
        self.close(stream)

    def _run_commands(self, *, wait: bool) -> bool:
        """Run what was asked for, after waiting for something if there is nothing; False at the end."""
        while True:
            try:
                command = self._commands.get(block=wait)
            except Empty:
                return True
            if command is None:
                return False
            command()
            wait = False

    def _failed(self) -> StageFailed:
        return StageFailed(self._spec.name, f"the engine failed: {type(self._failure).__name__}: {self._failure}")
