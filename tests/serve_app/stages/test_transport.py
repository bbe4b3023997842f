"""Connections that a stage accepts, and encryption."""

import asyncio
from pathlib import Path

import grpc
import pytest
from ray._common.tls_utils import generate_self_signed_tls_certs

from opens2s_core.inference.messages import Finish
from serve_app.errors import StageLost
from serve_app.stages import server as server_module
from serve_app.stages.transport import METHOD, TOKEN, client_channel
from tests.serve_app.stages.stage_pair import (
    Pair,
    request,
    whole,
    with_stage,
)


def test_a_connection_needs_the_token_of_a_reserved_one() -> None:
    async def connect(pair: Pair) -> None:
        pending = pair.server.reserve()
        async with client_channel(pending.endpoint.address) as channel:
            call = channel.stream_stream(METHOD)(metadata=((TOKEN, "guessed"),))
            with pytest.raises(grpc.aio.AioRpcError, match="token of a reserved connection"):
                await call.read()
        pending.cancel()

    with_stage(connect)


@pytest.mark.parametrize("first", [b"", b"garbage", b"\x92\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa1x"])
def test_a_connection_that_begins_with_something_else_is_refused(first: bytes) -> None:
    async def connect(pair: Pair) -> None:
        pending = pair.server.reserve()
        async with client_channel(pending.endpoint.address) as channel:
            call = channel.stream_stream(METHOD)(metadata=((TOKEN, pending.endpoint.token),))
            await call.write(first)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        pending.cancel()

    with_stage(connect)


def test_a_reserved_connection_that_is_not_used_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ATTACH_SECONDS", 0.1)

    async def wait(pair: Pair) -> None:
        pending = pair.server.reserve()
        await asyncio.wait_for(pending.wait_end(), 2)
        pending.cancel()

    with_stage(wait)


def test_streams_are_encrypted_where_ray_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    certificate, key = generate_self_signed_tls_certs()
    for name, content in (("cert", certificate), ("key", key)):
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(tmp_path / "cert"))
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "key"))
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "cert"))

    async def ask(pair: Pair) -> None:
        assert (await whole(pair, request()))[-1] == Finish("stop", 1, 5)
        monkeypatch.delenv("RAY_USE_TLS")
        with pytest.raises(StageLost, match="UNAVAILABLE"):  # a gateway without certificates
            await whole(pair, request())

    with_stage(ask, host="localhost")
