"""A line from each caller to the stage that works for it: it says that the caller is there, and grants units.

Serve's own connections tell a stage when a call is cancelled, but not when the process that made it is gone. A line
does: it breaks with the process, and a caller that hangs, or whose machine is lost, falls silent on it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import ray.util

from serve_app.calls import Opened

BEAT_SECONDS = 0.4
"""How often a caller is heard of."""
_PATIENCE = 4
"""Beats of silence after which a caller is given up: within two seconds with the time it takes to notice."""
_LONGEST_LINE = 256


class Lease:
    """A caller's hold on its call: ``granted`` units so far; ``on_grant`` and ``on_lost`` are called as it changes."""

    def __init__(self, granted: int) -> None:
        self.granted = granted
        self.on_grant: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        self._silent = 0  # beats

    def hear(self, granted: int) -> None:
        self._silent = 0
        if granted > self.granted:
            self.granted = granted
            self.on_grant()

    def wait(self) -> bool:
        """A beat has passed; False when the caller is not waited for any longer."""
        self._silent += 1
        return self._silent <= _PATIENCE


class LineServer:
    """The place where the callers of one process are heard. Used on one event loop."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._opened: asyncio.Task[Opened] | None = None

    async def address(self) -> Opened:
        """Where lines are to be held; it listens from the first time it is asked."""
        if self._opened is None:
            self._opened = asyncio.create_task(self._listen())
        return await self._opened

    async def _listen(self) -> Opened:
        host = ray.util.get_node_ip_address()
        server = await asyncio.get_running_loop().create_server(lambda: _Listener(self._leases), host, 0)
        self._sweeping = asyncio.create_task(self._sweep())
        return Opened(host, server.sockets[0].getsockname()[1])

    def take(self, attempt: str, granted: int) -> Lease:
        """From now on the caller of this attempt must be heard of."""
        self._leases[attempt] = lease = Lease(granted)
        return lease

    @property
    def leases(self) -> int:
        """Calls under way."""
        return len(self._leases)

    def end(self, attempt: str) -> None:
        self._leases.pop(attempt, None)

    async def _sweep(self) -> None:
        # Beats of this loop are counted, not seconds: what it missed while it stood still is not the callers' fault.
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for attempt, lease in list(self._leases.items()):
                if not lease.wait():
                    self.end(attempt)
                    lease.on_lost()


class _Listener(asyncio.Protocol):
    """One line: the attempt's id, then again and again how many units are granted in all, each ended by a newline."""

    def __init__(self, leases: dict[str, Lease]) -> None:
        self._leases = leases
        self._buffer = b""
        self._attempt: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _LONGEST_LINE:
            self._transport.close()
            return
        for line in lines:
            text = line.decode(errors="replace")
            if self._attempt is None:
                self._attempt = text
                if text not in self._leases:
                    self._transport.close()
            elif (lease := self._leases.get(self._attempt)) is not None and text.isdecimal():
                lease.hear(int(text))

    def connection_lost(self, exc: Exception | None) -> None:
        lease = self._leases.pop(self._attempt, None) if self._attempt is not None else None
        if lease is not None:
            lease.on_lost()


class Line:
    """Keeps a call alive until it is closed, and grants it what ``granted`` says at each beat."""

    def __init__(self, place: Opened, attempt: str, granted: Callable[[], int]) -> None:
        self._holding = asyncio.create_task(self._hold(place, attempt, granted))

    def close(self) -> None:
        self._holding.cancel()

    async def _hold(self, place: Opened, attempt: str, granted: Callable[[], int]) -> None:
        with suppress(OSError):  # the stage has gone: its call will say so
            _, writer = await asyncio.open_connection(place.host, place.port)
            try:
                writer.write(f"{attempt}\n".encode())
                while True:
                    writer.write(f"{granted()}\n".encode())
                    await writer.drain()
                    await asyncio.sleep(BEAT_SECONDS)
            finally:
                writer.close()
