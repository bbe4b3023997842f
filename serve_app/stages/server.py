"""The replica's end of the connections: a gRPC server that accepts only connections reserved through Serve."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from serve_app.stages.codec import decode, encode
from serve_app.stages.messages import Probe, StageRequest
from serve_app.stages.transport import METHOD, OPTIONS, TOKEN, Endpoint, listen, quiet_grpc

ATTACH_SECONDS = 5.0
"""How long a reserved connection waits for the gateway to connect."""
_TOKEN_BYTES = 16


class ServerConnection:
    """The connection to one gateway, seen from the stage. When it breaks, the task that works on it is cancelled."""

    def __init__(self, context: Any, transferred: Callable[[float], None]) -> None:
        self._context = context
        self._transferred = transferred

    async def receive(self) -> Any:
        """The next message; None once the gateway sends no more. ``ValueError`` for one that cannot be read."""
        data = await self._context.read()
        if data is grpc.aio.EOF:
            return None
        seconds, message = decode(data)
        self._transferred(seconds)
        return message

    async def send(self, message: Any) -> None:
        """Waits while the gateway does not read."""
        await self._context.write(encode(message))


Handler = Callable[[StageRequest | Probe, ServerConnection], Awaitable[None]]


class PendingConnection:
    """A reserved connection at ``endpoint``; must be cancelled, which ends the connection."""

    def __init__(self, server: "StageServer", endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.attached = asyncio.Event()  # the gateway has connected, and cannot again
        self.ended = asyncio.Event()
        self.task: asyncio.Task[Any] | None = None  # that works on it
        self._server = server

    async def wait_end(self) -> None:
        """Returns once the connection has ended, or the gateway has not connected in time."""
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                await self.attached.wait()
        except TimeoutError:
            return  # the gateway was lost meanwhile
        await self.ended.wait()

    def cancel(self) -> None:
        self._server.forget(self)
        if self.task is not None:
            self.task.cancel()


class StageServer:
    """``handle`` works on each connection, in a task that is cancelled when the gateway or Serve ends the call.
    ``transferred`` is called with the seconds that each message took."""

    def __init__(
        self, handle: Handler, *, host: str, replica: str, transferred: Callable[[float], None] = lambda _: None
    ) -> None:
        self._transferred = transferred
        self._handle = handle
        self._host = host
        self._replica = replica
        self._pending: dict[str, PendingConnection] = {}
        self._server = grpc.aio.server(options=OPTIONS)
        service, method = METHOD.removeprefix("/").split("/")
        handlers = {method: grpc.stream_stream_rpc_method_handler(self._stream)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._address = ""

    @property
    def connections(self) -> int:
        """Connections that are reserved or open."""
        return len(self._pending)

    async def start(self) -> None:
        quiet_grpc(asyncio.get_running_loop())
        self._address = f"{self._host}:{listen(self._server, self._host)}"
        await self._server.start()

    async def stop(self) -> None:
        """Connections end at once."""
        await self._server.stop(grace=None)

    def reserve(self) -> PendingConnection:
        endpoint = Endpoint(self._address, secrets.token_urlsafe(_TOKEN_BYTES), self._replica)
        pending = self._pending[endpoint.token] = PendingConnection(self, endpoint)
        return pending

    def forget(self, pending: PendingConnection) -> None:
        self._pending.pop(pending.endpoint.token, None)

    async def _stream(self, _: AsyncIterator[bytes], context: Any) -> None:
        token = dict(context.invocation_metadata()).get(TOKEN, "")
        pending = self._pending.get(token)
        if pending is None or pending.attached.is_set():
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "expected the token of a reserved connection")
            return
        pending.task = asyncio.current_task()
        pending.attached.set()
        try:
            connection = ServerConnection(context, self._transferred)
            try:
                request = await connection.receive()
            except ValueError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            if not isinstance(request, StageRequest | Probe):
                expected = f"expected a StageRequest or Probe first, got {type(request).__name__}"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, expected)
            await self._handle(request, connection)
        finally:
            pending.ended.set()
