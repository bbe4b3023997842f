"""What the page knows about a conversation, and how it asks the HTTP endpoint for a reply."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import openai
from numpy.typing import NDArray

T = TypeVar("T")


class EndpointError(Exception):
    """The endpoint refused, failed or cannot be reached; the message is for the person at the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """The endpoint's model and how it speaks: Hz of its samples, and what people must be told before they listen."""

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
class Turn:
    """One side of an exchange. ``wav`` is what the user said, for the endpoint; ``clip`` a file that replays it."""

    role: Literal["user", "assistant"]
    text: str = ""
    wav: bytes = b""
    clip: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event of the stream adds to a reply: words, and 16-bit mono samples (base64) at ``rate`` Hz."""

    text: str
    pcm: str
    rate: int


@dataclass(slots=True)
class Reply:
    """A reply while it comes in. Times are seconds since it was asked for."""

    number: int
    text: str = ""
    rate: int = 0
    chunks: list[str] = field(default_factory=list)
    first_text: float | None = None
    first_audio: float | None = None
    whole: float | None = None
    _asked: float = field(default_factory=time.monotonic)

    def add(self, piece: Piece) -> None:
        now = self.elapsed()
        if piece.text:
            self.text += piece.text
            self.first_text = self.first_text or now
        if piece.pcm:
            self.rate = piece.rate
            self.chunks.append(piece.pcm)
            self.first_audio = self.first_audio or now

    def end(self) -> None:
        self.whole = self.elapsed()

    def elapsed(self) -> float:
        return time.monotonic() - self._asked

    def samples(self) -> NDArray[np.float32]:
        """All samples so far, mono in [-1, 1]."""
        pcm = b"".join(map(base64.b64decode, self.chunks))
        return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


@dataclass(slots=True)
class Conversation:
    """The turns of one browser tab. Replies are made one at a time (``speaking``); ``stop`` ends the current one."""

    turns: list[Turn] = field(default_factory=list)
    replies: int = 0
    speaking: asyncio.Lock = field(default_factory=asyncio.Lock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def to_messages(turns: Iterable[Turn], system_prompt: str) -> list[dict[str, Any]]:
    """The turns as chat messages: what the user said goes as wav, what the model said as its words."""
    messages: list[dict[str, Any]] = []
    if system_prompt.strip():
        messages.append({"role": "system", "content": system_prompt.strip()})
    for turn in turns:
        if turn.role == "assistant":
            messages.append({"role": "assistant", "content": turn.text})
            continue
        content: list[dict[str, Any]] = []
        if turn.wav:
            sound = {"data": base64.b64encode(turn.wav).decode(), "format": "wav"}
            content.append({"type": "input_audio", "input_audio": sound})
        if turn.text:
            content.append({"type": "text", "text": turn.text})
        messages.append({"role": "user", "content": content})
    return messages


class Endpoint:
    """The chat endpoint at ``url`` (without ``/v1``), asked through the public ``openai`` client."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A person is waiting: a refusal is shown at once and they decide whether to try again.
        self._client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    async def voice(self) -> Voice:
        """Raises :class:`EndpointError`."""
        models = await self._answered(self._client.models.list())
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

    async def reply(self, turns: Sequence[Turn], settings: Settings) -> AsyncGenerator[Piece, None]:
        """The reply to the last turn, as it comes. Closing the iterator hangs up. Raises :class:`EndpointError`."""
        voice = await self.voice()
        spoken = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
        request: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p}
        if settings.max_tokens is not None:
            request["max_completion_tokens"] = settings.max_tokens
        request |= spoken if settings.speak else {"modalities": ["text"]}
        messages = to_messages(turns, settings.system_prompt)
        create: Any = self._client.chat.completions.create  # its overloads cannot type a request built as a dict
        stream = await self._answered(create(model=voice.model, messages=messages, stream=True, **request))
        async with stream:
            events = aiter(stream)
            while (event := await self._answered(anext(events, None))) is not None:
                for choice in event.choices:
                    audio = choice.delta.audio
                    words = choice.delta.content or (audio and audio.transcript) or ""
                    yield Piece(words, (audio and audio.data) or "", voice.sample_rate)

    async def _answered(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except openai.APIConnectionError as error:
            raise EndpointError(f"The endpoint at {self.url} does not answer. Is it running?") from error
        except openai.APIError as error:
            raise EndpointError(_refusal(error)) from error


def _refusal(error: openai.APIError) -> str:
    """The endpoint's own words where it sent any, and the field they are about."""
    body = error.body
    if not isinstance(body, dict) or not body.get("message"):
        return f"The endpoint failed: {error.message}"
    return f"{body['param']}: {body['message']}" if body.get("param") else str(body["message"])


async def until(stop: asyncio.Event, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """``items`` up to their end or until ``stop`` is set, whichever is first; ``items`` is closed either way."""
    stopped = asyncio.ensure_future(stop.wait())
    waits: list[asyncio.Future[Any]] = [stopped]
    try:
        while True:
            item: asyncio.Future[T | None] = asyncio.ensure_future(anext(items, None))
            waits = [stopped, item]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not item.done() or (value := item.result()) is None:
                return
            yield value
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await items.aclose()
