"""Asks the chat endpoint for streamed replies, through the public ``openai`` client."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import openai

T = TypeVar("T")

EVENT_TIMEOUT_SECONDS = 60.0
"""How long a person waits for the first or the next event of a reply before it counts as failed."""
_NO_KEY = "none"  # the openai client insists on a key; an endpoint without keys ignores it


class EndpointError(Exception):
    """The endpoint refused, failed, timed out or cannot be reached; the message is for the person at the page."""


class KeyRefusedError(EndpointError):
    """The endpoint needs an API key, and the request had none or an unknown one (status 401)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """The endpoint's model and how it speaks: Hz of its samples, and the notice that people read before they listen."""

    model: str
    sample_rate: int
    trained: bool
    notice: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a person may choose for a reply; ``None``, or an empty prompt, leaves the choice to the endpoint."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    system_prompt: str = ""
    speak: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One entry of a conversation. ``audio`` is FLAC for the user and MP3 for the assistant, whose audio is not sent
    to the endpoint; ``clip`` is the file that replays it."""

    role: Literal["user", "assistant"]
    text: str = ""
    audio: bytes = b""
    clip: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """What one event of the stream adds to a reply: text, and 16-bit mono samples (base64) at ``rate`` Hz.

    The first one of a reply is empty: the endpoint has accepted the request.
    """

    text: str
    pcm: str
    rate: int


class ChatEndpoint:
    """The chat endpoint at ``url`` (without ``/v1``). ``key`` is the API key to send; empty where none is needed."""

    def __init__(self, url: str, *, event_timeout: float = EVENT_TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._event_timeout = event_timeout
        # A person is waiting: a refusal is shown at once and they decide whether to try again.
        self._client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=_NO_KEY, max_retries=0)

    async def voice(self, key: str = "") -> Voice:
        """Raises :class:`EndpointError`."""
        client = self._client.with_options(api_key=key or _NO_KEY)
        models = await self._answer(client.models.list(), f"{self.url} does not answer")
        described = models.data[0].model_dump() if models.data else {}
        missing = {"id", "sample_rate", "voice_trained", "notice"} - described.keys()
        if missing:
            raise EndpointError(f"{self.url} does not describe its voice: /v1/models lacks {sorted(missing)}.")
        return Voice(
            model=described["id"],
            sample_rate=described["sample_rate"],
            trained=described["voice_trained"],
            notice=described["notice"],
        )

    async def reply(
        self, messages: Sequence[Message], settings: Settings, key: str = ""
    ) -> AsyncGenerator[Delta, None]:
        """The reply to the last message, as it comes. Closing the iterator closes the connection, which ends the reply.

        Raises :class:`EndpointError`.
        """
        voice = await self.voice(key)
        request: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p}
        if settings.max_tokens is not None:
            request["max_completion_tokens"] = settings.max_tokens
        if settings.speak:
            request |= {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
        else:
            request |= {"modalities": ["text"]}
        # Its overloads cannot type a request that is built as a dict.
        create: Any = self._client.with_options(api_key=key or _NO_KEY).chat.completions.create
        chat = to_chat_messages(messages, settings.system_prompt)
        stream = await self._answer(
            create(model=voice.model, messages=chat, stream=True, **request), "No slot became free"
        )
        async with stream:
            events = aiter(stream)
            while (event := await self._answer(anext(events, None), "The reply stopped coming")) is not None:
                for choice in event.choices:
                    audio = choice.delta.audio
                    text = choice.delta.content or (audio and audio.transcript) or ""
                    yield Delta(text, (audio and audio.data) or "", voice.sample_rate)

    async def _answer(self, answer: Awaitable[T], on_timeout: str) -> T:
        try:
            async with asyncio.timeout(self._event_timeout):
                return await answer
        except TimeoutError as error:
            raise EndpointError(f"{on_timeout}: nothing for {self._event_timeout:g} s.") from error
        except openai.AuthenticationError as error:
            raise KeyRefusedError(_refusal(error)) from error
        except openai.APIConnectionError as error:
            raise EndpointError(f"The endpoint at {self.url} does not answer. Is it running?") from error
        except openai.APIError as error:
            raise EndpointError(_refusal(error)) from error


def to_chat_messages(messages: Iterable[Message], system_prompt: str) -> list[dict[str, Any]]:
    """The messages as the endpoint takes them: of the user audio and text, of the assistant text alone."""
    chat: list[dict[str, Any]] = []
    if system_prompt.strip():
        chat.append({"role": "system", "content": system_prompt.strip()})
    for message in messages:
        if message.role == "assistant":
            if message.text:  # an endpoint refuses an empty one
                chat.append({"role": "assistant", "content": message.text})
            continue
        content: list[dict[str, Any]] = []
        if message.audio:
            audio = {"data": base64.b64encode(message.audio).decode(), "format": "flac"}
            content.append({"type": "input_audio", "input_audio": audio})
        if message.text:
            content.append({"type": "text", "text": message.text})
        chat.append({"role": "user", "content": content})
    return chat


def _refusal(error: openai.APIError) -> str:
    """The endpoint's own message where it sent one, and the field it is about."""
    body = error.body
    if not isinstance(body, dict) or not body.get("message"):
        return f"The endpoint failed: {error.message}"
    return f"{body['param']}: {body['message']}" if body.get("param") else str(body["message"])


async def until_set(stop: asyncio.Event, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """``items`` up to their end or until ``stop`` is set, whichever is first; ``items`` is closed either way."""
    stopped = asyncio.ensure_future(stop.wait())
    waits: list[asyncio.Future[Any]] = [stopped]
    async with aclosing(items):
        try:
            while not stop.is_set():
                item: asyncio.Future[T | None] = asyncio.ensure_future(anext(items, None))
                waits = [stopped, item]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set() or not item.done() or (value := item.result()) is None:
                    return
                yield value
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
