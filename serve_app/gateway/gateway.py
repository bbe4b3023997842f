"""The HTTP side: the endpoints over the stages. Sound is decoded and encoded in threads, nothing else computed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from opens2s_core.checkpoint import BundleInfo, read_bundle_info
from opens2s_core.inference.messages import ReplyRequest
from serve_app.api.chat_request import ChatRequest, chat_reply_request, parse_chat
from serve_app.api.chat_response import ReplyShape, completion, events
from serve_app.api.context import ApiContext
from serve_app.api.reference_worker import (
    list_models,
    parse_reference,
    reference_reply_request,
    reference_stream,
    worker_address,
    worker_status,
)
from serve_app.api.speech import (
    SpeechRequest,
    content_type,
    parse_speech,
    speech_audio,
    speech_events,
    speech_reply_requests,
)
from serve_app.config import STAGES, ServeConfig, StageName
from serve_app.errors import ApiError, internal_error
from serve_app.gateway.authentication import Gate, read_keys
from serve_app.gateway.calls import Crowd, StageCall
from serve_app.gateway.chain import AskStage, Reservation
from serve_app.gateway.readiness import missing_stages
from serve_app.gateway.reply import Reply
from serve_app.observability.metrics import IngressMetrics, exposition
from serve_app.stages.process import be_prompt
from serve_app.stages.stage import RemoteCall

SYNTHETIC_NOTICE = "The voice is synthetic and the empathy is a model's."
UNTRAINED_NOTICE = "The voice of this checkpoint is untrained: what it says aloud is noise."
_RESERVED_SECONDS = 1.0
"""How long a place is kept for a request whose body is still coming in."""


class Stages(Protocol):
    """What the endpoints need of the stages behind them."""

    metrics: IngressMetrics
    draining: bool  # no more replies are begun

    def ask(self, stage: StageName) -> StageCall:
        """Ask for a place there; it is held until the call ends or is cancelled."""
        ...

    async def missing(self) -> list[str]:
        """The stages that cannot answer now."""
        ...


class Body(StreamingResponse):
    """A body in parts; ``on_end`` is called however the sending ends, also when the client has gone."""

    def __init__(self, content: Any, on_end: Callable[[], None], media_type: str = "text/event-stream") -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(content, headers=headers, media_type=media_type)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A request that was let in, and what it holds until its reply has ended."""

    http: Request
    ending: ExitStack
    ask: AskStage


class Endpoints:
    """The handlers of :func:`create_api`."""

    def __init__(self, config: ServeConfig, info: BundleInfo, stages: Stages) -> None:
        self._config = config
        self._info = info
        self._stages = stages
        self._gate = Gate(read_keys(config.access), config.access.replies_per_key)
        self._created = int(time.time())
        self._crowd = Crowd()
        self._context = ApiContext(model=config.model, limits=config.limits, units_per_token=info.units_per_token)

    async def chat(self, http: Request) -> Response:
        """``POST /v1/chat/completions``"""
        with self._entered(http) as entry:
            chat, request = await self._read(http, _chat_request)
            shape = ReplyShape(
                id=uuid.uuid4().hex,
                model=chat.model,
                speak=chat.speak,
                audio_format=chat.audio_format,
                sample_rate=self._info.sample_rate,
                include_usage=chat.include_usage,
                tools=bool(request.tools),
            )
            reply = await self._begin(entry, request, played=bool(chat.stream), name=shape.id)
            if chat.stream:
                return Body(events(reply, shape), entry.ending.pop_all().close)
            return JSONResponse(await completion(reply, shape))

    async def speech(self, http: Request) -> Response:
        """``POST /v1/audio/speech``"""
        with self._entered(http) as entry:
            asked, request = await self._read(http, _speech_request)
            # Whoever wants a file wants it soon, so it is not paced.
            reply = await self._begin(entry, request, played=False, asked_in="input")
            rate = self._info.sample_rate
            if asked.as_events:
                return Body(speech_events(reply, asked.audio_format, rate), entry.ending.pop_all().close)
            sound = await _begun(speech_audio(reply, asked.audio_format, rate))
            return Body(sound, entry.ending.pop_all().close, content_type(asked.audio_format))

    async def worker_generate_stream(self, http: Request) -> Response:
        """``POST /worker_generate_stream``, the reference's own protocol"""
        with self._entered(http) as entry:
            request = await self._read(http, _reference_request)
            reply = await self._begin(entry, request, played=True)
            return Body(
                reference_stream(reply, self._info.sample_rate),
                entry.ending.pop_all().close,
                "application/octet-stream",
            )

    async def worker_get_status(self, http: Request) -> dict[str, Any]:
        """``POST /worker_get_status``"""
        self._admit(http)
        return worker_status(self._context, self._stages.metrics.under_way)

    async def list_models(self, http: Request) -> dict[str, Any]:
        """``POST /list_models``, which the reference's controller answers"""
        self._admit(http)
        return list_models(self._context)

    async def get_worker_address(self, http: Request) -> dict[str, Any]:
        """``POST /get_worker_address``, which the reference's controller answers: here it is the worker itself."""
        self._admit(http)
        url = str(http.base_url).rstrip("/")
        return await self._read(http, partial(worker_address, url=url))

    async def models(self, http: Request) -> dict[str, Any]:
        """``GET /v1/models``"""
        self._admit(http)
        return {"object": "list", "data": [self._model()]}

    async def model(self, http: Request, name: str) -> dict[str, Any]:
        """``GET /v1/models/{name}``"""
        self._admit(http)
        if name != self._config.model:
            expected = f"expected '{self._config.model}'"
            raise ApiError(404, f"model {name!r} does not exist: {expected}", param="model", code="model_not_found")
        return self._model()

    async def health(self) -> dict[str, str]:
        """``GET /health``: this process answers."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """``GET /ready``: every stage answers, and replies are begun."""
        self._check_open()
        if missing := await self._stages.missing():
            raise ApiError(503, f"not answering: {', '.join(missing)}", code="not_ready")
        return {"status": "ready"}

    async def metrics(self, http: Request) -> PlainTextResponse:
        """``GET /metrics``, of all nodes, in Prometheus' text format"""
        self._admit(http)
        return PlainTextResponse(await exposition(), media_type="text/plain; version=0.0.4")

    def _check_open(self) -> None:
        if self._stages.draining:
            raise ApiError(503, "this server is about to stop: ask another", code="draining")

    def _admit(self, http: Request) -> bytes | None:
        return self._gate.holder(http.headers.get("authorization"))

    @contextmanager
    def _entered(self, http: Request) -> Iterator[_Entry]:
        """Let a request in. What it holds is given back at the end, or when the body that it is handed to ends."""
        self._check_open()
        with ExitStack() as ending:
            ending.enter_context(self._gate.place(self._admit(http)))
            ask = self._stages.ask
            if not self._crowd.waiting:  # in a crowd the thinker is asked last
                reservation = Reservation(ask, _RESERVED_SECONDS)
                ending.callback(reservation.cancel)
                ask = reservation.ask
            yield _Entry(http, ending, ask)

    async def _read(self, http: Request, parse: Callable[..., Any]) -> Any:
        """The body as ``parse`` understands it, which may decode sound and so runs in a thread."""
        body = await _read_body(http, self._config.limits.max_body_bytes)
        return await asyncio.to_thread(parse, body, self._context)

    async def _begin(
        self,
        entry: _Entry,
        request: ReplyRequest,
        *,
        played: bool,
        name: str | None = None,
        asked_in: str = "messages",
    ) -> Reply:
        """A reply that is under way; one that is ``played`` as it comes is not made far ahead of that."""
        name = name or uuid.uuid4().hex
        reply = Reply(
            request,
            entry.ask,
            self._stages.metrics,
            name=name,
            request_id=entry.http.headers.get("x-request-id", name),
            sample_rate=self._info.sample_rate,
            lead=self._config.limits.lead_seconds if played else None,
            crowd=self._crowd,
            asked_in=asked_in,
            log_transcript=self._config.log_transcripts,
        )
        entry.ending.callback(reply.close)
        await reply.begin()
        return reply

    def _model(self) -> dict[str, Any]:
        spoken = SYNTHETIC_NOTICE if self._info.voice_trained else f"{SYNTHETIC_NOTICE} {UNTRAINED_NOTICE}"
        return {
            "id": self._config.model,
            "object": "model",
            "created": self._created,
            "owned_by": "opens2s",
            "sample_rate": self._info.sample_rate,
            "voice_trained": self._info.voice_trained,
            "notice": spoken,
        }


def _chat_request(body: bytes, context: ApiContext) -> tuple[ChatRequest, ReplyRequest]:
    chat = parse_chat(body, context)
    return chat, chat_reply_request(chat, context)


def _speech_request(body: bytes, context: ApiContext) -> tuple[SpeechRequest, ReplyRequest]:
    speech = parse_speech(body, context)
    first, *others = speech_reply_requests(speech, context)
    if others:
        raise ApiError(400, "too much text: expected one part", param="input")
    return speech, first


def _reference_request(body: bytes, context: ApiContext) -> ReplyRequest:
    return reference_reply_request(parse_reference(body, context), context)


async def _read_body(http: Request, limit: int) -> bytes:
    refusal = ApiError(413, f"the body is too large: expected at most {limit} bytes", code="body_too_large")
    announced = http.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise refusal
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > limit:
            raise refusal
    return bytes(body)


async def _begun(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts, the first of which is there: an error before it can still be told by a status."""
    first = await anext(parts, b"")

    async def again() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return again()


def create_api(config: ServeConfig, info: BundleInfo, stages: Stages) -> FastAPI:
    """The HTTP application over ``stages``. ``ValueError`` for keys that cannot be read."""
    api = FastAPI(title="OpenS2S on Ray", openapi_url=None)
    endpoints = Endpoints(config, info, stages)
    for method, path, handler in (
        ("POST", "/v1/chat/completions", endpoints.chat),
        ("POST", "/v1/audio/speech", endpoints.speech),
        ("GET", "/v1/models", endpoints.models),
        ("GET", "/v1/models/{name}", endpoints.model),
        ("POST", "/worker_generate_stream", endpoints.worker_generate_stream),
        ("POST", "/worker_get_status", endpoints.worker_get_status),
        ("POST", "/list_models", endpoints.list_models),
        ("POST", "/get_worker_address", endpoints.get_worker_address),
        ("GET", "/health", endpoints.health),
        ("GET", "/ready", endpoints.ready),
        ("GET", "/metrics", endpoints.metrics),
    ):
        api.add_api_route(path, handler, methods=[method], response_model=None)
    _add_error_handlers(api)
    if config.access.cors_origins:
        api.add_middleware(
            CORSMiddleware, allow_origins=list(config.access.cors_origins), allow_methods=["*"], allow_headers=["*"]
        )
    return api


def _add_error_handlers(api: FastAPI) -> None:
    async def refuse(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return JSONResponse(error.body(), error.status, error.headers)

    async def no_such_place(http: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        refusal = ApiError(error.status_code, f"{http.method} {http.url.path}: {error.detail}")
        return JSONResponse(refusal.body(), refusal.status, error.headers)

    async def forget(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # the client left while its body came in; this is for the log

    async def fail(_: Request, __: Exception) -> JSONResponse:
        refusal = internal_error()  # Starlette raises the error again for the log
        return JSONResponse(refusal.body(), refusal.status)

    api.add_exception_handler(ApiError, refuse)
    api.add_exception_handler(HTTPException, no_such_place)
    api.add_exception_handler(ClientDisconnect, forget)
    api.add_exception_handler(Exception, fail)


@serve.ingress()
class Ingress:
    """Serves :func:`create_api` and reaches the stages through their handles."""

    def __init__(self, config: ServeConfig, *stages: DeploymentHandle) -> None:
        self._config = config
        self._info = read_bundle_info(config.bundle)
        self._stages = {name: handle.options(stream=True) for name, handle in zip(STAGES, stages, strict=True)}
        self.metrics = IngressMetrics()
        self.draining = False
        be_prompt()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_api(self._config, self._info, self)

    def ask(self, stage: StageName) -> StageCall:
        return RemoteCall(stage, self._stages[stage], self.metrics.transferred)

    async def drain(self) -> int:
        """Begin no more replies; returns how many are still under way."""
        self.draining = True
        return self.metrics.under_way

    async def missing(self) -> list[str]:
        return await missing_stages(serve.get_replica_context().app_name)
