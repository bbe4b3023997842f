"""An endpoint that speaks the wire format: the same words and a sine for every request, and trouble on request."""

import asyncio
import base64
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

RATE = 22_050
NOTICE = "The voice of this checkpoint has not been trained: expect noise."
WORDS = ["I ", "hear ", "that ", "you ", "are ", "<b>glad</b>."]
REPLY = "".join(WORDS)
CHUNK = 4410
"""Samples for each word: 0.2 s."""


@dataclass
class FakeEndpoint:
    """What the user writes chooses the behaviour: ``refuse``, ``queue`` (no slot), ``think`` (no first word), ``stall``
    (after three words), ``ramble`` (20 times the words). With a ``key`` other requests are refused."""

    key: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        self.key = ""
        self.requests.clear()
        self.disconnected.clear()

    def app(self) -> FastAPI:
        app = FastAPI()
        app.get("/v1/models")(self.models)
        app.post("/v1/chat/completions")(self.chat)
        return app

    def models(self, request: Request) -> Any:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            error = {"message": "this API key is not known here", "type": "authentication_error", "param": None}
            return JSONResponse({"error": error | {"code": "invalid_api_key"}}, status_code=401)
        model = {"id": "opens2s", "object": "model", "created": 0, "owned_by": "opens2s"}
        return {"object": "list", "data": [model | {"sample_rate": RATE, "voice_trained": False, "notice": NOTICE}]}

    async def chat(self, request: Request) -> Any:
        body = await request.json()
        self.requests.append(body)
        if "refuse" in last_text(body):
            error = {"message": "too long: expected 30 s", "type": "invalid_request_error", "param": "messages[0]"}
            return JSONResponse({"error": error | {"code": None}}, status_code=400)
        if "queue" in last_text(body):
            while not await request.is_disconnected():
                await asyncio.sleep(0.05)
            self.disconnected.set()
        return StreamingResponse(self.stream(body), media_type="text/event-stream")

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[str]:
        words = WORDS * 20 if "ramble" in last_text(body) else WORDS
        try:
            yield event({"role": "assistant"})
            for i, word in enumerate(words):
                if ("think" in last_text(body) and i == 0) or ("stall" in last_text(body) and i == 3):
                    await asyncio.sleep(60)
                audio = {"audio": {"id": "a", "transcript": word, "data": sine(i)}}
                yield event(audio if "audio" in body["modalities"] else {"content": word})
                await asyncio.sleep(0.02)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.disconnected.set()
            raise


def last_text(body: dict[str, Any]) -> str:
    return " ".join(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")


def event(delta: dict[str, Any]) -> str:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "opens2s"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n"


def sine(chunk: int) -> str:
    times = (np.arange(CHUNK) + chunk * CHUNK) / RATE
    return base64.b64encode((8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()).decode()


@contextmanager
def running(fake: FakeEndpoint) -> Iterator[str]:
    """The address of ``fake`` while it answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fake.app(), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    server.force_exit = True
    thread.join(10)
