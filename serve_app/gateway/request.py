"""One request on its way to a reply: admitted, read, parsed, given a slot, decoded; and all that it holds, released."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from fastapi import Request

from opens2s_core.checkpoint.bundle import BundleInfo
from opens2s_core.inference.messages import ReplyRequest
from serve_app.api.context import ApiContext
from serve_app.api.request_ids import clean_request_id
from serve_app.config import ServeConfig
from serve_app.errors import ApiError
from serve_app.gateway.admission import Admission, ClientKey
from serve_app.gateway.attempt import Stages
from serve_app.gateway.authentication import Authenticator, check_origin
from serve_app.gateway.body import BodyReader
from serve_app.gateway.reply import Reply, ReplyContext
from serve_app.observability.metrics import GatewayMetrics

Parsed = TypeVar("Parsed")
JSON = "application/json"


class Backend(Protocol):
    """What the endpoints need of the deployment that they run in."""

    stages: Stages
    metrics: GatewayMetrics
    admission: Admission
    draining: bool  # no more requests are accepted

    async def missing(self) -> list[str]:
        """The stages that would not work on a request now."""
        ...

    def keep_transcript(self, audio_id: str, client: ClientKey, text: str) -> None: ...

    async def transcripts(self, audio_ids: Sequence[str], client: ClientKey) -> dict[str, str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyOptions:
    """How a reply is made. ``id`` names it, and its audio ``audio_id`` if that is kept; ``field`` of the request is
    named when a stage refuses it."""

    id: str
    played: bool  # as it comes, and so made not far ahead of that
    field: str = "messages"
    audio_id: str | None = None
    audio_ids: tuple[str, ...] = ()  # of earlier replies that the request refers to


class Intake:
    """Admits requests: authentication, capacity, body, parsing, decoding."""

    def __init__(self, config: ServeConfig, info: BundleInfo, context: ApiContext, backend: Backend) -> None:
        self.config = config
        self.info = info
        self.context = context
        self.backend = backend
        self.authenticator = Authenticator(config.access)
        self.bodies = BodyReader(config.gateway, config.limits.max_body_bytes)
        self.decoders = ThreadPoolExecutor(config.gateway.decode_threads, thread_name_prefix="decode")

    def client(self, http: Request) -> ClientKey:
        """The client that sent the request. Raises :class:`ApiError` (401, 403)."""
        origins = self.config.access.cors_origins
        check_origin(http.headers.get("origin"), http.headers.get("host"), origins)
        return self.authenticator.client(http.headers.get("authorization"))

    def check_accepting(self) -> None:
        """Raises :class:`ApiError` once the deployment is about to stop."""
        if self.backend.draining:
            raise ApiError(503, "this server is about to stop: ask another", code="draining")

    @asynccontextmanager
    async def enter(self, http: Request, media_type: str = JSON) -> AsyncIterator["AdmittedRequest"]:
        """Admit a request for a reply whose body is of ``media_type``. Refusals that need no body come before it is
        read. What the request holds is released at the end, unless it was passed on to the response."""
        self.check_accepting()
        client = self.client(http)
        check_media_type(http.headers.get("content-type"), media_type)
        self.backend.admission.check(client)
        async with AsyncExitStack() as held:
            yield AdmittedRequest(self, http, client, held)

    async def read_json(self, http: Request, parse: Callable[[bytes, ApiContext], Parsed]) -> Parsed:
        """The body of a request that asks for no reply. Raises :class:`ApiError`."""
        check_media_type(http.headers.get("content-type"), JSON)
        async with self.bodies.read(http) as body:
            return await self.decode(parse, body, self.context)

    async def decode(self, work: Callable[..., Parsed], *arguments: object) -> Parsed:
        """``work`` in a decode thread; their number bounds the CPU time that requests take from running replies."""
        return await asyncio.get_running_loop().run_in_executor(self.decoders, work, *arguments)


class AdmittedRequest:
    """One request that was admitted, and what it holds."""

    def __init__(self, intake: Intake, http: Request, client: ClientKey, held: AsyncExitStack) -> None:
        self._intake = intake
        self._http = http
        self._client = client
        self._held = held
        self._body = AsyncExitStack()

    async def parse(self, parse: Callable[[bytes, ApiContext], Parsed]) -> Parsed:
        """The body as ``parse`` understands it. Raises :class:`ApiError`."""
        await self._held.enter_async_context(self._body)
        body = await self._body.enter_async_context(self._intake.bodies.read(self._http))
        return await self._intake.decode(parse, body, self._intake.context)

    async def reply(
        self, parsed: Parsed, build: Callable[[Parsed, ApiContext], Sequence[ReplyRequest]], options: ReplyOptions
    ) -> Reply:
        """A reply that is under way. Raises :class:`ApiError`."""
        intake, backend = self._intake, self._intake.backend
        with backend.metrics.queued():
            await self._held.enter_async_context(backend.admission.slot(self._client))
        context = intake.context
        if options.audio_ids:
            context = replace(context, transcripts=await backend.transcripts(options.audio_ids, self._client))
        requests = await intake.decode(build, parsed, context)
        await self._body.aclose()
        reply = Reply(
            requests,
            ReplyContext(
                stages=backend.stages,
                metrics=backend.metrics,
                id=options.id,
                request_id=clean_request_id(self._http.headers.get("x-request-id")),
                sample_rate=intake.info.sample_rate,
                units_per_second=intake.info.units_per_second,
                played=options.played,
                field=options.field,
                log_transcript=intake.config.log_transcripts,
                on_complete=self._keep(options.audio_id),
            ),
        )
        self._held.push_async_callback(reply.aclose)
        await reply.start()
        return reply

    def release(self) -> AsyncExitStack:
        """What was held, which the response releases when it ends."""
        return self._held.pop_all()

    def _keep(self, audio_id: str | None) -> Callable[[str], None]:
        def keep(transcript: str) -> None:
            if audio_id is not None:
                self._intake.backend.keep_transcript(audio_id, self._client, transcript)

        return keep


def check_media_type(content_type: str | None, expected: str) -> None:
    """Requires bodies of the ``expected`` type. Raises :class:`ApiError` (415). Browsers send JSON to another origin
    only after a CORS preflight, and forms without one: :func:`check_origin` refuses those."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() == expected:
        return
    raise ApiError(415, f"content type {content_type!r}: expected {expected!r}", code="unsupported_media_type")


def new_id() -> str:
    return uuid.uuid4().hex
