"""The HTTP side: OpenAI's endpoints over the stages. Sound is decoded and encoded in threads, nothing else computed."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from opens2s_core.checkpoint import BundleInfo, read_bundle_info
from opens2s_core.inference.messages import ReplyRequest
from serve_app.audio_codec import encode_whole
from serve_app.config import Limits, ServeConfig
from serve_app.engine_thread import Upstream
from serve_app.errors import ApiError
from serve_app.openai_api import ChatRequest, parse_chat, reply_request
from serve_app.replies import Reply, ReplyShape, collect, events
from serve_app.stages import ReplyCall

SYNTHETIC_NOTICE = "The voice is synthetic and the empathy is a model's."
UNTRAINED_NOTICE = "The voice of this checkpoint is untrained: what it says aloud is noise."


class Stages(Protocol):
    """What the endpoints need of the stages behind them."""

    def start(self, request: ReplyRequest) -> Upstream:
        """Begin a reply; it runs until it ends or is cancelled."""
        ...

    async def missing(self) -> list[str]:
        """The stages that cannot answer now."""
        ...


class EventStream(StreamingResponse):
    """Server-sent events; ``on_end`` is called however the sending ends, also when the client has gone."""

    media_type = "text/event-stream"

    def __init__(self, content: Any, on_end: Callable[[], None]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


class Endpoints:
    """The handlers of :func:`create_api`."""

    def __init__(self, config: ServeConfig, info: BundleInfo, stages: Stages) -> None:
        self._config = config
        self._info = info
        self._stages = stages
        self._created = int(time.time())

    async def complete(self, http: Request) -> Response:
        """``POST /v1/chat/completions``"""
        body = await _read_body(http, self._config.limits.max_body_bytes)
        chat, request = await asyncio.to_thread(_parse, body, self._config.model, self._config.limits)
        shape = ReplyShape(
            model=chat.model,
            speak=chat.speak,
            audio_format=chat.audio_format,
            sample_rate=self._info.sample_rate,
            include_usage=chat.include_usage,
        )
        request_id = http.headers.get("x-request-id", shape.id)
        reply = Reply(self._stages.start(request), request_id=request_id, sample_rate=shape.sample_rate)
        with ExitStack() as ending:
            ending.callback(reply.close)
            await reply.begin()
            if chat.stream:
                ending.pop_all()
                return EventStream(events(reply, shape), on_end=reply.close)
            return JSONResponse(await _completion(reply, shape))

    async def models(self) -> dict[str, Any]:
        """``GET /v1/models``"""
        spoken = SYNTHETIC_NOTICE if self._info.voice_trained else f"{SYNTHETIC_NOTICE} {UNTRAINED_NOTICE}"
        model = {
            "id": self._config.model,
            "object": "model",
            "created": self._created,
            "owned_by": "opens2s",
            "sample_rate": self._info.sample_rate,
            "voice_trained": self._info.voice_trained,
            "notice": spoken,
        }
        return {"object": "list", "data": [model]}

    async def health(self) -> dict[str, str]:
        """``GET /health``: this process answers."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """``GET /ready``: every stage has a running replica."""
        if missing := await self._stages.missing():
            raise ApiError(503, f"not running: {', '.join(missing)}", code="not_ready")
        return {"status": "ready"}


async def _read_body(http: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > limit:
            raise ApiError(413, f"the body is too large: expected at most {limit} bytes", code="body_too_large")
    return bytes(body)


def _parse(body: bytes, model: str, limits: Limits) -> tuple[ChatRequest, ReplyRequest]:
    chat = parse_chat(body, model=model, limits=limits)
    return chat, reply_request(chat, limits)


async def _completion(reply: Reply, shape: ReplyShape) -> dict[str, Any]:
    text, samples = await collect(reply)
    assert reply.finish is not None
    sound = None
    if shape.speak:
        sound = await asyncio.to_thread(encode_whole, samples, shape.sample_rate, shape.audio_format)
    return shape.whole(text, sound, reply.finish)


def create_api(config: ServeConfig, info: BundleInfo, stages: Stages) -> FastAPI:
    """The HTTP application over ``stages``."""
    api = FastAPI(title="OpenS2S on Ray", openapi_url=None)
    endpoints = Endpoints(config, info, stages)
    api.add_api_route("/v1/chat/completions", endpoints.complete, methods=["POST"], response_model=None)
    api.add_api_route("/v1/models", endpoints.models)
    api.add_api_route("/health", endpoints.health)
    api.add_api_route("/ready", endpoints.ready)

    async def refuse(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return JSONResponse(error.body(), error.status, error.headers)

    async def no_such_place(http: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        refusal = ApiError(error.status_code, f"{http.method} {http.url.path}: {error.detail}")
        return JSONResponse(refusal.body(), refusal.status, error.headers)

    async def fail(_: Request, __: Exception) -> JSONResponse:
        # Starlette raises the error again for the log; the client learns nothing of our insides.
        refusal = ApiError(500, "internal error", code="internal_error")
        return JSONResponse(refusal.body(), refusal.status)

    api.add_exception_handler(ApiError, refuse)
    api.add_exception_handler(HTTPException, no_such_place)
    api.add_exception_handler(Exception, fail)
    return api


@serve.ingress()
class Ingress:
    """Serves :func:`create_api` and reaches the stages through their streaming handles."""

    def __init__(self, config: ServeConfig, thinker: DeploymentHandle, token2wav: DeploymentHandle) -> None:
        self._config = config
        self._info = read_bundle_info(config.bundle)
        self._written = thinker
        self._spoken = token2wav

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_api(self._config, self._info, self)

    def start(self, request: ReplyRequest) -> Upstream:
        """A written reply needs the thinker alone; a spoken one is pulled from the end of the chain."""
        return ReplyCall(self._spoken if request.speak else self._written, request)

    async def missing(self) -> list[str]:
        """Stages without a running replica, by what Serve's own health checks say: they pass even a full stage."""
        status = await asyncio.to_thread(serve.status)
        here = status.applications[serve.get_replica_context().app_name].deployments
        return [name for name, stage in here.items() if "RUNNING" not in stage.replica_states]
