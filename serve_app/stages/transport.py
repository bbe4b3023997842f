"""What both ends of a connection between gateway and stage agree on: one bidirectional gRPC stream for each stage's
part of a reply. Flow control is HTTP/2's; TLS is on where Ray's own settings turn it on, with the same certificates."""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import grpc
from ray._common.tls_utils import add_port_to_grpc_server, load_certs_from_env

METHOD = "/opens2s.Stage/Stream"
TOKEN = "opens2s-token"  # metadata key of the token of a reserved connection
MESSAGE_BYTES = 128 * 2**20
"""The largest message: a request with minutes of audio as float32."""
_KEEPALIVE_MS = 2_000
"""A peer that is stopped or unreachable, without having closed the connection, is detected within two of these."""
_REACH_SECONDS = 1.0
"""A process accepts a connection within this time, however busy it is."""

OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 0),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect to a replica, and the token of the reserved connection. ``replica`` is the name of its actor."""

    address: str
    token: str
    replica: str


def client_channel(address: str) -> grpc.aio.Channel:
    """To a replica; its pings are its own, not shared with other channels to the same address."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return grpc.aio.insecure_channel(address, options=options)
    certificate, key, authority = load_certs_from_env()
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.aio.secure_channel(address, credentials, options=options)


async def is_reachable(endpoint: Endpoint) -> bool:
    """Whether the process accepts a connection. That is done by gRPC, without its event loop or the interpreter."""
    async with client_channel(endpoint.address) as channel:
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                await channel.channel_ready()
        except TimeoutError:
            return False
    return True


def listen(server: grpc.aio.Server, host: str) -> int:
    """Listen at a free port of ``host``, and return it."""
    return add_port_to_grpc_server(server, f"[{host}]:0" if ":" in host else f"{host}:0")


def quiet_grpc(loop: asyncio.AbstractEventLoop) -> None:
    """Do not log a false alarm on ``loop``, which runs our code: gRPC wakes every event loop of a process for each
    event, and those that find none raise BlockingIOError. Serve does the same for its own loops."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        idle = isinstance(context.get("exception"), BlockingIOError) and "PollerCompletionQueue" in context["message"]
        if not idle:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
