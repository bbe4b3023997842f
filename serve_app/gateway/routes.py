"""The HTTP endpoints over the stages."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from opens2s_core.checkpoint.bundle import BundleInfo
from opens2s_core.inference.messages import ReplyRequest
from serve_app.api.chat_request import ChatRequest, chat_reply_request, parse_chat
from serve_app.api.chat_response import ReplyShape, completion, events
from serve_app.api.context import ApiContext
from serve_app.api.form_data import MULTIPART
from serve_app.api.reference_worker import (
    ReferenceRequest,
    list_models,
    parse_reference,
    reference_error,
    reference_reply_request,
    reference_stream,
    worker_address,
    worker_status,
)
from serve_app.api.speech import content_type, parse_speech, speech_audio, speech_events, speech_reply_requests
from serve_app.api.transcription import (
    TranscriptionRequest,
    check_transcribes,
    clip_seconds,
    parse_transcription,
    transcript,
    transcript_body,
    transcript_events,
    transcription_reply_request,
)
from serve_app.config import ServeConfig
from serve_app.errors import ApiError, internal_error
from serve_app.gateway.request import Backend, Intake, ReplyOptions, new_id
from serve_app.notices import SYNTHETIC_NOTICE, UNTRAINED_NOTICE
from serve_app.observability.metrics import exposition


class StreamedReply(StreamingResponse):
    """A body in parts; what its request holds is released however the sending ends, also when the client has gone."""

    def __init__(self, content: Any, held: AsyncExitStack, media_type: str = "text/event-stream") -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(content, headers=headers, media_type=media_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


class Endpoints:
    """The handlers of :func:`create_api`."""

    def __init__(self, config: ServeConfig, info: BundleInfo, context: ApiContext, backend: Backend) -> None:
        self._config = config
        self._info = info
        self._context = context
        self._backend = backend
        self._intake = Intake(config, info, context, backend)
        self._created = int(time.time())

    async def chat(self, http: Request) -> Response:
        """``POST /v1/chat/completions``"""
        async with self._intake.enter(http) as admitted:
            chat = await admitted.parse(parse_chat)
            shape = ReplyShape(
                id=new_id(),
                model=chat.model,
                speak=chat.speak,
                audio_format=chat.audio_format,
                sample_rate=self._info.sample_rate,
                include_usage=chat.include_usage,
                tools=bool(chat.tools),
            )
            options = ReplyOptions(
                id=shape.id,
                played=chat.stream,
                audio_id=shape.audio_id if chat.speak else None,
                audio_ids=chat.audio_ids,
            )
            reply = await admitted.reply(chat, _chat_requests, options)
            if chat.stream:
                return StreamedReply(events(reply, shape), admitted.release())
            return JSONResponse(await completion(reply, shape))

    async def speech(self, http: Request) -> Response:
        """``POST /v1/audio/speech``"""
        async with self._intake.enter(http) as admitted:
            speech = await admitted.parse(parse_speech)
            # A file is not played while it arrives, so it is not paced.
            options = ReplyOptions(id=new_id(), played=False, field="input")
            reply = await admitted.reply(speech, speech_reply_requests, options)
            rate = self._info.sample_rate
            if speech.as_events:
                return StreamedReply(speech_events(reply, speech.audio_format, rate), admitted.release())
            audio = await _started(speech_audio(reply, speech.audio_format, rate))
            return StreamedReply(audio, admitted.release(), content_type(speech.audio_format))

    async def transcriptions(self, http: Request) -> Response:
        """``POST /v1/audio/transcriptions``"""
        async with self._intake.enter(http, MULTIPART) as admitted:
            check_transcribes(self._context)
            asked = await admitted.parse(partial(parse_transcription, content_type=http.headers["content-type"]))
            # Text is not played, so it is not paced.
            options = ReplyOptions(id=new_id(), played=False, field="file")
            reply = await admitted.reply(asked, _transcription_requests, options)
            if asked.stream:
                return StreamedReply(transcript_events(reply), admitted.release())
            text = await transcript(reply)
            if asked.response_format == "text":
                return PlainTextResponse(text)
            assert reply.finish is not None
            (request,) = reply.requests
            return JSONResponse(transcript_body(text, reply.finish, asked, clip_seconds(request)))

    async def worker_generate_stream(self, http: Request) -> Response:
        """``POST /worker_generate_stream``, the reference's own protocol: errors too are objects in its stream."""
        media_type = "application/octet-stream"
        try:
            async with self._intake.enter(http) as admitted:
                request = await admitted.parse(parse_reference)
                options = ReplyOptions(id=new_id(), played=True)
                reply = await admitted.reply(request, _reference_requests, options)
                return StreamedReply(reference_stream(reply, self._info.sample_rate), admitted.release(), media_type)
        except ApiError as error:
            return Response(reference_error(error), headers=error.headers, media_type=media_type)

    async def worker_get_status(self, http: Request) -> dict[str, Any]:
        """``POST /worker_get_status``"""
        self._intake.client(http)
        return worker_status(self._context, self._backend.metrics.under_way)

    async def list_models(self, http: Request) -> dict[str, Any]:
        """``POST /list_models``, which the reference's controller answers"""
        self._intake.client(http)
        return list_models(self._context)

    async def get_worker_address(self, http: Request) -> dict[str, Any]:
        """``POST /get_worker_address``, which the reference's controller answers: here it is the worker itself."""
        self._intake.client(http)
        url = self._config.gateway.address or f"http://{self._config.host}:{self._config.port}"
        return await self._intake.read_json(http, partial(worker_address, url=url))

    async def models(self, http: Request) -> dict[str, Any]:
        """``GET /v1/models``"""
        self._intake.client(http)
        return {"object": "list", "data": [self._model()]}

    async def model(self, http: Request, name: str) -> dict[str, Any]:
        """``GET /v1/models/{name}``"""
        self._intake.client(http)
        if name != self._config.model:
            expected = f"expected '{self._config.model}'"
            raise ApiError(404, f"model {name!r} does not exist: {expected}", param="model", code="model_not_found")
        return self._model()

    async def health(self) -> dict[str, str]:
        """``GET /health``: this process answers."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """``GET /ready``: every stage would work on a request, and requests are accepted."""
        self._intake.check_accepting()
        if missing := await self._backend.missing():
            raise ApiError(503, f"not answering: {', '.join(missing)}", code="not_ready")
        return {"status": "ready"}

    async def metrics(self, http: Request) -> PlainTextResponse:
        """``GET /metrics``, of all nodes, in Prometheus' text format"""
        self._intake.client(http)
        return PlainTextResponse(await exposition(), media_type="text/plain; version=0.0.4")

    def _model(self) -> dict[str, Any]:
        notice = SYNTHETIC_NOTICE if self._info.voice_trained else f"{SYNTHETIC_NOTICE} {UNTRAINED_NOTICE}"
        return {
            "id": self._config.model,
            "object": "model",
            "created": self._created,
            "owned_by": "opens2s",
            "sample_rate": self._info.sample_rate,
            "voice_trained": self._info.voice_trained,
            "transcribes": bool(self._context.transcription_prompt),
            "voices": sorted(self._context.voices),
            "notice": notice,
        }


def _chat_requests(chat: ChatRequest, context: ApiContext) -> tuple[ReplyRequest]:
    return (chat_reply_request(chat, context),)


def _transcription_requests(request: TranscriptionRequest, context: ApiContext) -> tuple[ReplyRequest]:
    return (transcription_reply_request(request, context),)


def _reference_requests(request: ReferenceRequest, context: ApiContext) -> tuple[ReplyRequest]:
    return (reference_reply_request(request, context),)


async def _started(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, the first of which is there: an error before it can still be answered by a status."""
    first = await anext(chunks, b"")

    async def from_the_first() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return from_the_first()


def create_api(config: ServeConfig, info: BundleInfo, context: ApiContext, backend: Backend) -> FastAPI:
    """The HTTP application over the stages of ``backend``. ``ValueError``, ``OSError`` for keys that cannot be read."""
    api = FastAPI(title="OpenS2S on Ray", openapi_url=None)
    endpoints = Endpoints(config, info, context, backend)
    for method, path, handler in (
        ("POST", "/v1/chat/completions", endpoints.chat),
        ("POST", "/v1/audio/speech", endpoints.speech),
        ("POST", "/v1/audio/transcriptions", endpoints.transcriptions),
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

    async def no_such_route(http: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        refusal = ApiError(error.status_code, f"{http.method} {http.url.path}: {error.detail}")
        return JSONResponse(refusal.body(), refusal.status, error.headers)

    async def client_left(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # while its body was read; this is for the log

    async def fail(_: Request, __: Exception) -> JSONResponse:
        refusal = internal_error()  # Starlette raises the error again for the log
        return JSONResponse(refusal.body(), refusal.status)

    api.add_exception_handler(ApiError, refuse)
    api.add_exception_handler(HTTPException, no_such_route)
    api.add_exception_handler(ClientDisconnect, client_left)
    api.add_exception_handler(Exception, fail)
