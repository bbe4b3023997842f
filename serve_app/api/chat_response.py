"""A reply in OpenAI's words: chunks of a chat completion as they are made, or the whole of it."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage, TextDelta
from opens2s_core.prompt import ToolCall
from opens2s_core.tools import parse_tool_calls
from serve_app.api.audio_codec import AudioFormat, SoundEncoder, encode_whole
from serve_app.errors import ApiError

_CALL = "<tool_call>"
"""Begins what :func:`parse_tool_calls` reads."""


class Messages(Protocol):
    """The messages of a reply, its sound as int16 samples. Iterating raises :class:`ApiError`."""

    @property
    def finish(self) -> Finish | None:
        """How the text ended; None while it goes on."""
        ...

    def __aiter__(self) -> AsyncIterator[StageMessage]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyShape:
    """What all parts of one completion have in common. With ``tools`` the text may hold calls of them."""

    model: str
    speak: bool
    audio_format: AudioFormat
    sample_rate: int
    include_usage: bool
    tools: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def audio(self, **parts: Any) -> dict[str, Any]:
        return {"audio": {"id": f"audio_{self.id}", **parts}}

    def call(self, number: int, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self.id}_{number}", "type": "function", "function": function}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, finish: Finish) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(finish)}

    def whole(self, message: dict[str, Any], finish_reason: str, finish: Finish) -> dict[str, Any]:
        told = {"role": "assistant", "refusal": None, **message}
        choice = {"index": 0, "message": told, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(finish)}


def usage(finish: Finish) -> dict[str, int]:
    prompt, completion = finish.prompt_tokens, finish.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(payload: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n"


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class SoundStream:
    """One reply's sound on its way out: what the calls return, joined, is a file of the format asked for."""

    def __init__(self, audio_format: AudioFormat, rate: int) -> None:
        self._encoder = SoundEncoder(audio_format, rate)
        self._compresses = audio_format not in ("pcm16", "wav")

    async def push(self, samples: NDArray[np.int16]) -> bytes:
        """What the next samples make certain; may be nothing."""
        return await asyncio.to_thread(self._encoder.push, samples) if self._compresses else self._encoder.push(samples)

    async def close(self) -> bytes:
        """The rest."""
        return await asyncio.to_thread(self._encoder.close) if self._compresses else self._encoder.close()


async def events(reply: Messages, shape: ReplyShape) -> AsyncIterator[str]:
    """The server-sent events of a streamed completion; a reply that fails on the way ends with an ``error`` event."""
    yield event(shape.chunk({"role": "assistant"}))
    called = False
    try:
        async for delta in _spoken(reply, shape) if shape.speak else _written(reply, shape):
            called |= "tool_calls" in delta
            yield event(shape.chunk(delta))
    except ApiError as error:
        yield event(error.body())
        return
    assert reply.finish is not None
    yield event(shape.chunk({}, _finish_reason(reply.finish, called)))
    if shape.include_usage:
        yield event(shape.usage_chunk(reply.finish))
    yield "data: [DONE]\n\n"


async def _spoken(reply: Messages, shape: ReplyShape) -> AsyncIterator[dict[str, Any]]:
    sound = SoundStream(shape.audio_format, shape.sample_rate)
    async for message in reply:
        match message:
            case TextDelta(text):
                yield shape.audio(transcript=text)
            case AudioChunk(samples):
                if data := await sound.push(samples):
                    yield shape.audio(data=base64_text(data))
    if data := await sound.close():
        yield shape.audio(data=base64_text(data))
    # Replies are not kept: their sound has expired by the time it is told.
    yield shape.audio(expires_at=int(time.time()))


async def _written(reply: Messages, shape: ReplyShape) -> AsyncIterator[dict[str, Any]]:
    text = CallsInText() if shape.tools else None
    async for message in reply:
        if isinstance(message, TextDelta) and (words := text.push(message.text) if text else message.text):
            yield {"content": words}
    words, calls = text.end() if text else ("", [])
    if words:
        yield {"content": words}
    for number, call in enumerate(calls):
        yield {"tool_calls": [{"index": number, **shape.call(number, call)}]}


def _finish_reason(finish: Finish, called: bool) -> str:
    """That it was cut is told even where it called: more calls may have been to come."""
    return "tool_calls" if called and finish.reason == "stop" else finish.reason


class CallsInText:
    """Text that may hold calls of tools, told as it is made up to where the first of them may begin."""

    def __init__(self) -> None:
        self._text = ""
        self._told = 0

    def push(self, text: str) -> str:
        """What of the text so far is certain to be words, and new."""
        self._text += text
        told, self._told = self._told, max(self._told, len(self._text[: self._first_call()].rstrip()))
        return self._text[told : self._told]

    def end(self) -> tuple[str, list[ToolCall]]:
        """The rest of the words, and the calls."""
        words, calls = parse_tool_calls(self._text)
        if not calls:
            return self._text[self._told :], []
        # These words are stripped; what was told begins them, but for the space in front.
        return words[len(self._text[: self._told].lstrip()) :], calls

    def _first_call(self) -> int:
        """Where it begins, or may yet turn out to have begun."""
        found = self._text.find(_CALL)
        begun = max(length for length in range(len(_CALL)) if self._text.endswith(_CALL[:length]))
        return found if found >= 0 else len(self._text) - begun


async def completion(reply: Messages, shape: ReplyShape) -> dict[str, Any]:
    """The whole reply. Raises :class:`ApiError`."""
    text, samples = await _collected(reply)
    assert reply.finish is not None
    if shape.speak:
        data = await asyncio.to_thread(_file, samples, shape)
        message = {"content": None, **shape.audio(data=data, expires_at=int(time.time()), transcript=text)}
    else:
        message = _written_message(text, shape)
    return shape.whole(message, _finish_reason(reply.finish, "tool_calls" in message), reply.finish)


def _written_message(text: str, shape: ReplyShape) -> dict[str, Any]:
    words, calls = parse_tool_calls(text) if shape.tools else (text, [])
    if not calls:
        return {"content": text}
    return {"content": words or None, "tool_calls": [shape.call(number, call) for number, call in enumerate(calls)]}


async def _collected(reply: Messages) -> tuple[str, NDArray[np.int16]]:
    texts: list[str] = []
    sounds: list[NDArray[np.int16]] = [np.zeros(0, np.int16)]
    async for message in reply:
        match message:
            case TextDelta(text):
                texts.append(text)
            case AudioChunk(samples):
                sounds.append(samples)
    return "".join(texts), np.concatenate(sounds)


def _file(samples: NDArray[np.int16], shape: ReplyShape) -> str:
    return base64_text(encode_whole(samples, shape.sample_rate, shape.audio_format))
