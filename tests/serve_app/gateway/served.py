"""The HTTP application over fake stages in this process, and requests to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openai
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from opens2s_core.checkpoint.bundle import BundleInfo
from opens2s_core.inference.engine import Engine
from serve_app.api.context import ApiContext
from serve_app.config import Limits, ServeConfig
from serve_app.gateway.routes import create_api
from tests.fakes import LocalBackend, local_backend, reply_request, whole_reply

RATE = 22_050
INFO = BundleInfo(
    sample_rate=RATE,
    units_per_second=12.5,
    units_per_token=3.5,
    voice_trained=False,
    transcription_prompt="Transcribe:",
)
LIMITS = Limits(max_audio_seconds=2.0, max_messages=5, max_text_chars=2_000, max_tokens=64, max_body_bytes=500_000)
CONFIG = ServeConfig(bundle="unused", limits=LIMITS)
CHAT, TRANSCRIPTIONS = "/v1/chat/completions", "/v1/audio/transcriptions"
ENDPOINTS: list[tuple[str, str]] = [
    ("POST", CHAT),
    ("POST", "/v1/audio/speech"),
    ("POST", TRANSCRIPTIONS),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/opens2s"),
    ("POST", "/worker_generate_stream"),
    ("POST", "/worker_get_status"),
    ("POST", "/list_models"),
    ("POST", "/get_worker_address"),
    ("GET", "/metrics"),
]
SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
TEXT, SAMPLES = whole_reply(reply_request("hello"))
PCM = SAMPLES.astype("<i2").tobytes()


def api_of(config: ServeConfig, backend: LocalBackend, info: BundleInfo = INFO) -> FastAPI:
    context = ApiContext(
        model=config.model, limits=config.limits, units_per_token=3.5, transcription_prompt=info.transcription_prompt
    )
    return create_api(config, info, context, backend)


@contextmanager
def served(
    config: ServeConfig = CONFIG,
    losses: Sequence[tuple[str, int]] = (),
    *,
    engines: Sequence[Engine] | None = None,
    per_client: int = 16,
    info: BundleInfo = INFO,
) -> Iterator[tuple[TestClient, LocalBackend]]:
    """A client of it, and what it works with; every slot must be free in the end."""
    with local_backend(2, losses, engines, per_client=per_client) as backend:
        with TestClient(api_of(config, backend, info), raise_server_exceptions=False) as client:
            yield client, backend
        asyncio.run(backend.free())
        assert backend.metrics.under_way == 0


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": [{"role": "user", "content": "hello"}], **fields}


def pcm(samples: np.ndarray) -> bytes:
    return samples.astype("<i2").tobytes()


def post(client: TestClient, **fields: Any) -> Any:
    return client.post(CHAT, json=chat(**fields))


def sent_events(response: Any) -> list[Any]:
    """The events of a stream that ended well."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@dataclass
class AsgiRequest:
    """One request to the application, whose body comes as the test sends it, without a server between them."""

    path: str = CHAT
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    status: int | None = None
    body: bytes = b""
    answered: dict[str, str] = field(default_factory=dict)  # headers
    reads: int = 0
    ended: bool = False
    incoming: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    def send(self, data: bytes, *, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def run(self, api: FastAPI) -> "AsgiRequest":
        """To the end of the answer."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        scope = {"type": "http", "method": "POST", "path": self.path, "headers": headers, "query_string": b""}
        await api(scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        self.reads += 1
        return await self.incoming.get()

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    @property
    def code(self) -> str | None:
        """The code of the error that was answered."""
        return json.loads(self.body)["error"]["code"]


def with_api(
    test: Callable[[FastAPI, LocalBackend], Awaitable[None]],
    config: ServeConfig = CONFIG,
    *,
    capacity: int = 2,
    queue: int = 4,
    engines: Sequence[Engine] | None = None,
    info: BundleInfo = INFO,
) -> None:
    """Carry out ``test`` on the application; every slot is free in the end, and no request is under way."""

    async def run() -> None:
        async with asyncio.timeout(20):
            await test(api_of(config, backend, info), backend)
            await backend.free()
            assert backend.metrics.under_way == 0

    with local_backend(capacity, engines=engines, queue=queue) as backend:
        asyncio.run(run())


def sdk(client: TestClient, key: str = "none") -> openai.OpenAI:
    """The unmodified public client."""
    return openai.OpenAI(base_url="http://testserver/v1", api_key=key, http_client=client, max_retries=0)


def zero_ended(body: bytes) -> list[dict[str, Any]]:
    """The objects of the reference's protocol."""
    assert body.endswith(b"\0")
    return [json.loads(part) for part in body.split(b"\0")[:-1]]


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = [json.loads(record.message) for record in caplog.records if '"event": "reply"' in record.message]
    return line
