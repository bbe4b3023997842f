"""Replies as OpenAI's chat completions: in chunks as they are made, or whole."""

import asyncio
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
from serve_app.api.audio_output import AudioFormat, AudioStream, base64_text, encode_whole
from serve_app.api.tool_calls import parse_tool_calls
from serve_app.errors import ApiError

TRANSCRIPT_SECONDS = 3600
"""How long a client can name a spoken reply by its id alone, in later requests."""
_CALL = "<tool_call>"
"""Begins what :func:`parse_tool_calls` reads."""


class ReplyStream(Protocol):
    """The messages of a reply, its audio as int16 samples. Iterating raises :class:`ApiError`."""

    @property
    def finish(self) -> Finish | None:
        """How the text ended; None until then."""
        ...

    def __aiter__(self) -> AsyncIterator[StageMessage]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyShape:
    """What all chunks of one completion have in common. With ``tools`` the text may hold calls of them."""

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

    @property
    def audio_id(self) -> str:
        """By which a later request may name this reply."""
        return f"audio_{self.id}"

    def audio(self, **fields: Any) -> dict[str, Any]:
        return {"audio": {"id": self.audio_id, **fields}}

    def call(self, number: int, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self.id}_{number}", "type": "function", "function": function}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, finish: Finish) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(finish)}

    def whole(self, message: dict[str, Any], finish_reason: str, finish: Finish) -> dict[str, Any]:
        full = {"role": "assistant", "refusal": None, **message}
        choice = {"index": 0, "message": full, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(finish)}


def usage(finish: Finish) -> dict[str, int]:
    prompt, completion = finish.prompt_tokens, finish.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(payload: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n"


async def events(reply: ReplyStream, shape: ReplyShape) -> AsyncIterator[str]:
    """The server-sent events of a streamed completion; a reply that fails on the way ends with an ``error`` event."""
    yield event(shape.chunk({"role": "assistant"}))
    called = False
    try:
        async for delta in _audio_deltas(reply, shape) if shape.speak else _text_deltas(reply, shape):
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


async def _audio_deltas(reply: ReplyStream, shape: ReplyShape) -> AsyncIterator[dict[str, Any]]:
    audio = AudioStream(shape.audio_format, shape.sample_rate)
    async for message in reply:
        match message:
            case TextDelta(text):
                yield shape.audio(transcript=text)
            case AudioChunk(samples):
                if data := await audio.push(samples):
                    yield shape.audio(data=base64_text(data))
    if data := await audio.close():
        yield shape.audio(data=base64_text(data))
    yield shape.audio(expires_at=_expires_at())


async def _text_deltas(reply: ReplyStream, shape: ReplyShape) -> AsyncIterator[dict[str, Any]]:
    text = CallsInText() if shape.tools else None
    async for message in reply:
        if isinstance(message, TextDelta) and (content := text.push(message.text) if text else message.text):
            yield {"content": content}
    content, calls = text.end() if text else ("", [])
    if content:
        yield {"content": content}
    for number, call in enumerate(calls):
        yield {"tool_calls": [{"index": number, **shape.call(number, call)}]}


def _expires_at() -> int:
    """When the transcript of a reply that ends now expires, in Unix seconds."""
    return int(time.time()) + TRANSCRIPT_SECONDS


def _finish_reason(finish: Finish, called: bool) -> str:
    """A reply that was cut is reported as such even if it called: there might have been more calls."""
    return "tool_calls" if called and finish.reason == "stop" else finish.reason


class CallsInText:
    """Text that may hold calls of tools, emitted as it is made up to where the first of them may begin."""

    def __init__(self) -> None:
        self._text = ""
        self._emitted = 0

    def push(self, text: str) -> str:
        """The new part of the text so far that is certain not to belong to a call."""
        self._text += text
        emitted, self._emitted = self._emitted, max(self._emitted, len(self._text[: self._first_call()].rstrip()))
        return self._text[emitted : self._emitted]

    def end(self) -> tuple[str, list[ToolCall]]:
        """The rest of the text, and the calls."""
        text, calls = parse_tool_calls(self._text)
        if not calls:
            return self._text[self._emitted :], []
        # This text is stripped; what was emitted begins it, but for the white space in front.
        return text[len(self._text[: self._emitted].lstrip()) :], calls

    def _first_call(self) -> int:
        """Where it begins, or may turn out to have begun."""
        found = self._text.find(_CALL)
        partial = max(length for length in range(len(_CALL)) if self._text.endswith(_CALL[:length]))
        return found if found >= 0 else len(self._text) - partial


async def completion(reply: ReplyStream, shape: ReplyShape) -> dict[str, Any]:
    """The whole reply. Raises :class:`ApiError`."""
    text, samples = await _collect(reply)
    assert reply.finish is not None
    if shape.speak:
        data = await asyncio.to_thread(_file, samples, shape)
        message = {"content": None, **shape.audio(data=data, expires_at=_expires_at(), transcript=text)}
    else:
        message = _text_message(text, shape)
    return shape.whole(message, _finish_reason(reply.finish, "tool_calls" in message), reply.finish)


def _text_message(text: str, shape: ReplyShape) -> dict[str, Any]:
    content, calls = parse_tool_calls(text) if shape.tools else (text, [])
    if not calls:
        return {"content": text}
    return {"content": content or None, "tool_calls": [shape.call(number, call) for number, call in enumerate(calls)]}


async def _collect(reply: ReplyStream) -> tuple[str, NDArray[np.int16]]:
    texts: list[str] = []
    chunks: list[NDArray[np.int16]] = [np.zeros(0, np.int16)]
    async for message in reply:
        match message:
            case TextDelta(text):
                texts.append(text)
            case AudioChunk(samples):
                chunks.append(samples)
    return "".join(texts), np.concatenate(chunks)


def _file(samples: NDArray[np.int16], shape: ReplyShape) -> str:
    return base64_text(encode_whole(samples, shape.sample_rate, shape.audio_format))
