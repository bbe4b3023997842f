"""An engine in a thread of its own, and one reply's way through it. Nothing here computes on the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from opens2s_core.inference.engine import Engine, EngineFull, StreamFailed, StreamId
from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, Units
from serve_app.errors import RequestRefused, StageFailed


class Upstream(Protocol):
    """The messages of the stage before, which runs until it is cancelled."""

    def __aiter__(self) -> AsyncIterator[StageMessage]: ...

    def cancel(self) -> None: ...


class EngineStream:
    """One reply's slot in the engine, seen from the event loop. It is the caller's to close."""

    def __init__(self, commands: "SimpleQueue[Callable[[], None] | None]", thread: "EngineThread") -> None:
        self._commands = commands
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[StageMessage | BaseException] = asyncio.Queue()
        self.id: StreamId | None = None

    def push(self, message: StageMessage) -> None:
        """Hand the engine the next message of the stage before it."""
        self._commands.put(partial(self._thread.push, self, message))

    def pass_on(self, item: StageMessage | BaseException) -> None:
        """Let a message, or the end of the stage before, overtake the engine."""
        self._outbox.put_nowait(item)

    def deliver(self, items: Sequence[StageMessage | BaseException]) -> None:
        """Called by the engine's thread: what :meth:`receive` shall return or raise."""
        self._loop.call_soon_threadsafe(self._receive_all, items)

    def _receive_all(self, items: Sequence[StageMessage | BaseException]) -> None:
        for item in items:
            self._outbox.put_nowait(item)

    async def receive(self) -> StageMessage:
        """The next message. Raises :class:`EngineFull`, :class:`RequestRefused` or :class:`StageFailed`."""
        item = await self._outbox.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Free the slot; commands are obeyed in order, so a later ``open`` finds it free."""
        self._commands.put(partial(self._thread.close, self))


class EngineThread:
    """Drives one engine. The public half is called on an event loop, ``push`` and ``close`` by the thread itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._streams: set[EngineStream] = set()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def open(self, request: ReplyRequest) -> EngineStream:
        """Ask for a slot; a refusal is raised by the stream's first ``receive``."""
        stream = EngineStream(self._commands, self)
        self._commands.put(partial(self._open, stream, request))
        if self._failure is not None:
            stream.pass_on(self._failed())
        return stream

    def check(self) -> None:
        """Raises :class:`StageFailed` once the engine is dead."""
        if self._failure is not None:
            raise self._failed()

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

    def _open(self, stream: EngineStream, request: ReplyRequest) -> None:
        try:
            stream.id = self._engine.open(request)
        except EngineFull as error:
            stream.deliver([error])
        except ValueError as error:
            refusal = RequestRefused(str(error))
            refusal.__cause__ = error
            stream.deliver([refusal])
        else:
            self._streams.add(stream)

    def _run(self) -> None:
        busy = False
        try:
            while self._obey(wait=not busy):
                busy = self._engine.step()
                for stream in list(self._streams):
                    self._collect(stream)
        except BaseException as error:
            # The engine's memory is in an unknown state: every reply in it ends, and so does the replica.
            self._failure = error
            for stream in self._streams:
                stream.deliver([self._failed()])
            raise

    def _collect(self, stream: EngineStream) -> None:
        """Deliver what a stream has made, or that it alone cannot go on."""
        assert stream.id is not None
        try:
            if chunks := self._engine.chunks(stream.id):
                stream.deliver(chunks)
        except StreamFailed as error:
            failed = StageFailed(str(error))
            failed.__cause__ = error
            stream.deliver([failed])
            self.close(stream)

    def _obey(self, *, wait: bool) -> bool:
        """Do what was asked for, after waiting for it if there is nothing else to do; False at the end."""
        while wait or not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            command()
            wait = False
        return True

    def _failed(self) -> StageFailed:
        return StageFailed(f"the engine failed: {type(self._failure).__name__}: {self._failure}")


async def relay(
    engine: EngineThread, request: ReplyRequest, upstream: Upstream | None, takes: type[StageMessage] | None
) -> AsyncGenerator[StageMessage, None]:
    """One reply through one stage: ``takes`` goes into the engine, anything else from upstream is passed on at once.

    However the reply ends, its slot is freed and ``upstream`` is cancelled.
    """
    stream = engine.open(request)
    feeding = None if upstream is None else asyncio.create_task(_feed(stream, upstream, takes))
    to_come = 2 if request.speak else 1
    try:
        if feeding is not None:
            feeding.add_done_callback(partial(_end_of_feed, stream))
        while to_come:
            message = await stream.receive()
            to_come -= _ends_a_part(message)
            yield message
    finally:
        stream.close()
        if feeding is not None and upstream is not None:
            feeding.cancel()
            upstream.cancel()


async def _feed(stream: EngineStream, upstream: Upstream, takes: type[StageMessage] | None) -> None:
    async for message in upstream:
        if takes is not None and isinstance(message, takes):
            stream.push(message)
        else:
            stream.pass_on(message)


def _end_of_feed(stream: EngineStream, feeding: "asyncio.Task[None]") -> None:
    if not feeding.cancelled() and (error := feeding.exception()) is not None:
        stream.pass_on(error)


def _ends_a_part(message: StageMessage) -> bool:
    """Whether the text (``Finish``), or what the stage makes of it (a final group or chunk), is now complete."""
    return isinstance(message, Finish) or (isinstance(message, Hiddens | Units | AudioChunk) and message.final)
