"""A line between a stage and whoever called it: what the stage made comes down it, grants of units and signs of life go
up.

Serve chooses the replica and carries the request, and tells it when the call is cancelled. It does not tell when the
process that made the call is gone, lets nobody say that they are full, and takes milliseconds for each message. A line
breaks with either process, a caller that hangs or whose machine is lost falls silent on it, and it fills up.

Only what a stage sends is unpickled, by a caller that Serve told where to find it; what comes up is plain text.
"""

import asyncio
import pickle
import time
from collections.abc import Callable
from contextlib import suppress

import ray.util

from serve_app.calls import Made, Opened
from serve_app.errors import CallerLost, ReplyFailed, RequestRefused, StageError, StageLost

BEAT_SECONDS = 0.4
"""How often a caller is heard of."""
_PATIENCE = 4
"""Beats of silence after which a caller is given up: within two seconds with the time it takes to notice."""
_LONGEST_LINE = 256
_LENGTH_BYTES = 4

Failure = RequestRefused | ReplyFailed | StageError


class Lease:
    """A caller's hold on its call: ``granted`` units so far; ``on_grant`` is called when they become more, ``on_lost``
    when the caller is."""

    def __init__(self, stage: str, granted: int) -> None:
        self.granted = granted
        self.on_grant: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        self._stage = stage
        self._silent = 0  # beats
        self._writer: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def hear(self, granted: int) -> None:
        self._silent = 0
        if granted > self.granted:
            self.granted = granted
            self.on_grant()

    def wait(self) -> bool:
        """A beat has passed; False when the caller is not waited for any longer."""
        self._silent += 1
        return self._silent <= _PATIENCE

    def connect(self, writer: asyncio.StreamWriter) -> None:
        if not self._writer.done():
            self._writer.set_result(writer)

    def lose(self) -> None:
        if not self._writer.cancel():
            self._writer.result().transport.abort()  # nobody waits any longer until it is less full
        self.on_lost()

    async def send(self, item: Made | Failure | None) -> None:
        """Down the line, once it is there; None is the end. Raises :class:`CallerLost`."""
        try:
            writer = await asyncio.shield(self._writer)
            frame = pickle.dumps((time.time(), item), protocol=pickle.HIGHEST_PROTOCOL)
            writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
            await writer.drain()
        except OSError as error:
            raise self._lost() from error
        except asyncio.CancelledError as error:
            if self._writer.cancelled():
                raise self._lost() from error
            raise

    def _lost(self) -> CallerLost:
        return CallerLost(self._stage, "its caller is not heard of any more")


class LineServer:
    """The place where the callers of one replica are heard. Used on one event loop."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._leases: dict[str, Lease] = {}
        self._opened: asyncio.Task[Opened] | None = None

    async def address(self) -> Opened:
        """Where lines are to be held; it listens from the first time it is asked."""
        if self._opened is None:
            self._opened = asyncio.create_task(self._listen())
        return await self._opened

    def take(self, attempt: str, granted: int) -> Lease:
        """From now on the caller of this attempt must be heard of."""
        self._leases[attempt] = lease = Lease(self._stage, granted)
        return lease

    def end(self, attempt: str) -> None:
        self._leases.pop(attempt, None)

    @property
    def leases(self) -> int:
        """Calls under way."""
        return len(self._leases)

    async def _listen(self) -> Opened:
        host = ray.util.get_node_ip_address()
        self._server = await asyncio.start_server(self._hear, host, 0, limit=_LONGEST_LINE)
        self._sweeping = asyncio.create_task(self._sweep())
        return Opened(host, self._server.sockets[0].getsockname()[1])

    async def _sweep(self) -> None:
        # Beats of this loop are counted, not seconds: what it missed while it stood still is not the callers' fault.
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for attempt, lease in list(self._leases.items()):
                if not lease.wait():
                    self._lose(attempt)

    def _lose(self, attempt: str) -> None:
        if (lease := self._leases.pop(attempt, None)) is not None:
            lease.lose()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line: the attempt's id, then again and again how many units are granted in all, each ended by a
        newline. A line that is none of these ends."""
        with suppress(OSError, ValueError):
            attempt = (await reader.readline()).decode(errors="replace").rstrip("\n")
            if (lease := self._leases.get(attempt)) is not None:
                lease.connect(writer)
                while said := await reader.readline():
                    lease.hear(int(said))
                # What is sent down a line of which nothing comes is not heard either.
                if self._leases.get(attempt) is lease:
                    self._lose(attempt)
        writer.close()


class Line:
    """The caller's end. What ``granted`` says goes up at each beat. To be closed."""

    def __init__(self, stage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stage = stage
        self._reader = reader
        self._writer = writer
        self._beating: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, stage: str, place: Opened, attempt: str, granted: Callable[[], int]) -> "Line":
        """Raises :class:`StageLost`."""
        try:
            line = cls(stage, *await asyncio.open_connection(place.host, place.port))
        except OSError as error:
            raise StageLost(stage, f"nobody listens at {place.host}:{place.port}: {error}") from error
        line._writer.write(f"{attempt}\n".encode())
        line._beating = asyncio.create_task(line._beat(granted))
        return line

    async def receive(self) -> tuple[float, Made] | None:
        """When it was sent, in seconds since the epoch, and what; None at the end.

        Raises what the stage says went wrong, and :class:`StageLost` where the line breaks.
        """
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            sent, item = pickle.loads(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise StageLost(self._stage, "the line to it broke") from error
        if isinstance(item, Exception):
            raise item
        return None if item is None else (sent, item)

    def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        self._writer.close()

    async def _beat(self, granted: Callable[[], int]) -> None:
        with suppress(OSError):  # whoever receives is told
            while True:
                self._writer.write(f"{granted()}\n".encode())
                await self._writer.drain()
                await asyncio.sleep(BEAT_SECONDS)
