"""A line between a stage and whoever called it: the reply's input goes up, what the stage made comes down, and each end
tells the other again and again that it is there.

Serve chooses the replica, lets callers wait for a place, and tells the replica when a call is cancelled. It does not
tell when the process that made the call is gone, lets nobody say that they are full, and takes milliseconds for each
message. A line breaks with either process, falls silent when one hangs or its machine is lost, and fills up.

What comes is unpickled, so a line begins with a secret that Serve alone has carried.
"""

import asyncio
import pickle
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray.util

from serve_app.config import StageName
from serve_app.errors import CallerLost, StageLost

BEAT_SECONDS = 0.4
"""How often each end is heard of."""
CALLER_BEATS = 4
"""Of silence, after which a caller is given up: within two seconds with the time it takes to notice."""
STAGE_BEATS = 12
"""Of silence, after which a stage is given up: five seconds, as Serve itself gives it."""
_CONNECT_SECONDS = 5.0
_SECRET_BYTES = 16
_LENGTH_BYTES = 4
_PIECE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Place:
    """Serve's answer to a call: it was taken, and lasts while its caller holds a line to here."""

    host: str
    port: int
    secret: bytes


class Line:
    """One end, which gives the other up after so many ``beats`` of silence; it is ``lost`` then, as it is when the line
    breaks. Must be received from all the time, and closed."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lost: StageLost, beats: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lost = lost
        self._beats = beats
        self._silent = 0  # beats
        self._beating = asyncio.create_task(self._beat())

    async def send(self, item: Any) -> None:
        """Waits while the other end is full. Raises :class:`StageLost`."""
        frame = pickle.dumps((time.time(), item), protocol=pickle.HIGHEST_PROTOCOL)
        if self._writer.is_closing():  # uvloop has another error for writing to it
            raise self._lost
        try:
            self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
            await self._writer.drain()
        except OSError as error:
            raise self._lost from error

    async def receive(self) -> tuple[float, Any]:
        """How many seconds ago it was sent, and what. Raises :class:`StageLost`."""
        while not (length := int.from_bytes(await self._read(_LENGTH_BYTES), "big")):
            pass  # a beat
        sent, item = pickle.loads(await self._read(length))
        return max(0.0, time.time() - sent), item

    def close(self) -> None:
        self._beating.cancel()
        self._writer.close()

    async def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                piece = await self._reader.read(min(count - len(data), _PIECE_BYTES))
            except OSError as error:
                raise self._lost from error
            if not piece:
                raise self._lost
            self._silent = 0
            data += piece
        return bytes(data)

    async def _beat(self) -> None:
        # Beats of this loop are counted, not seconds: what it missed while it stood still is not the other's fault.
        while self._silent <= self._beats and not self._writer.is_closing():
            self._writer.write(bytes(_LENGTH_BYTES))
            await asyncio.sleep(BEAT_SECONDS)
            self._silent += 1
        self._writer.transport.abort()  # whoever sends or receives is told


async def line_to(stage: StageName, place: Place) -> Line:
    """Raises :class:`StageLost` where nobody answers."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(place.host, place.port)
    except OSError as error:
        raise StageLost(stage, f"nobody answers at {place.host}:{place.port}: {error}") from error
    writer.write(place.secret)
    return Line(reader, writer, lost=StageLost(stage, "the line to it broke, or it fell silent"), beats=STAGE_BEATS)


class ExpectedCaller:
    """One that was told where to call. To be closed, whether it came or not."""

    def __init__(self, server: "LineServer", place: Place) -> None:
        self.place = place
        self._server = server
        self._line: asyncio.Future[Line] = asyncio.get_running_loop().create_future()

    async def line(self) -> Line:
        """Once the caller is there. Raises :class:`CallerLost` where it does not come."""
        try:
            async with asyncio.timeout(CALLER_BEATS * BEAT_SECONDS):
                return await asyncio.shield(self._line)
        except TimeoutError as error:
            raise self._server.lost() from error

    def come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False where it has come before."""
        if self._line.done():
            return False
        self._line.set_result(Line(reader, writer, lost=self._server.lost(), beats=CALLER_BEATS))
        return True

    def close(self) -> None:
        self._server.forget(self.place)
        if not self._line.cancel():
            self._line.result().close()


class LineServer:
    """The place where the callers of one replica are heard. Used on one event loop."""

    def __init__(self, stage: StageName) -> None:
        self._stage = stage
        self._expected: dict[bytes, ExpectedCaller] = {}
        self._listening: asyncio.Task[asyncio.Server] | None = None

    async def expect(self) -> ExpectedCaller:
        """One more caller; it listens from the first time it is asked."""
        if self._listening is None:
            self._listening = asyncio.create_task(asyncio.start_server(self._hear, ray.util.get_node_ip_address(), 0))
        host, port, *_ = (await self._listening).sockets[0].getsockname()
        place = Place(host, port, secrets.token_bytes(_SECRET_BYTES))
        self._expected[place.secret] = expected = ExpectedCaller(self, place)
        return expected

    @property
    def callers(self) -> int:
        """Those who hold lines, or are expected to."""
        return len(self._expected)

    def forget(self, place: Place) -> None:
        self._expected.pop(place.secret, None)

    def lost(self) -> CallerLost:
        return CallerLost(self._stage, "its caller is not heard of any more")

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(CALLER_BEATS * BEAT_SECONDS):
                expected = self._expected.get(await reader.readexactly(_SECRET_BYTES))
            if expected is not None and expected.come(reader, writer):
                return
        writer.close()
