"""One reply on its way to a client: followed, measured, and put into OpenAI's chunks or one whole completion."""

import base64
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from opens2s_core.audio import Waveform
from opens2s_core.inference.engine import EngineFull
from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage, TextDelta
from serve_app.audio_codec import AudioFormat, pcm16, stream_header
from serve_app.engine_thread import Upstream
from serve_app.errors import ApiError, RequestRefused, StageFailed

_logger = logging.getLogger("ray.serve")


class Reply:
    """The messages of one reply. ``close`` ends it, whatever its state, and logs one line without its content."""

    def __init__(self, source: Upstream, *, request_id: str, sample_rate: int) -> None:
        self._source = source
        self._messages = aiter(source)
        self._held: StageMessage | None = None
        self._request_id = request_id
        self._rate = sample_rate
        self._started = time.monotonic()
        self._figures: dict[str, Any] = {}
        self._samples = 0
        self._outcome = "aborted"
        self.finish: Finish | None = None

    async def begin(self) -> None:
        """Wait until the reply is under way: what stops it until now can still be told by a status."""
        self._held = await anext(self)

    def __aiter__(self) -> AsyncIterator[StageMessage]:
        return self

    async def __anext__(self) -> StageMessage:
        """The next message. Raises :class:`ApiError`."""
        if self._held is not None:
            message, self._held = self._held, None
            return message
        try:
            message = await anext(self._messages)
        except StopAsyncIteration:
            self._outcome = "completed"
            raise
        except (EngineFull, RequestRefused, StageFailed, RayError, RayServeException) as error:
            refusal = _translated(error)
            self._outcome = refusal.code or "failed"
            raise refusal from error
        self._note(message)
        return message

    def close(self) -> None:
        self._source.cancel()
        seconds = {"audio_s": round(self._samples / self._rate, 3), "whole_s": self._elapsed()}
        line = {"event": "reply", "request_id": self._request_id, "outcome": self._outcome, **self._figures, **seconds}
        _logger.info(json.dumps(line))

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def _note(self, message: StageMessage) -> None:
        match message:
            case TextDelta():
                self._figures.setdefault("first_text_s", self._elapsed())
            case AudioChunk(samples):
                self._figures.setdefault("first_audio_s", self._elapsed())
                self._samples += len(samples)
            case Finish(reason, prompt_tokens, completion_tokens):
                self.finish = message
                tokens = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
                self._figures.update(finish_reason=reason, **tokens)


def _translated(error: Exception) -> ApiError:
    if isinstance(error, EngineFull | BackPressureError):
        return ApiError(503, "all places are taken: try again soon", code="overloaded")
    # Ray hands an error on as a subclass of its class, with the remote traceback as its text.
    cause = getattr(error, "cause", error)
    if isinstance(error, RequestRefused):
        return ApiError(400, str(cause), param="messages", code="refused")
    return ApiError(503, "a stage failed and is being replaced: try again soon", code="stage_failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyShape:
    """What all parts of one completion have in common."""

    model: str
    speak: bool
    audio_format: AudioFormat
    sample_rate: int
    include_usage: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def audio(self, **parts: Any) -> dict[str, Any]:
        return {"audio": {"id": f"audio_{self.id}", **parts}}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, finish: Finish) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(finish)}

    def whole(self, text: str, sound: bytes | None, finish: Finish) -> dict[str, Any]:
        """The completion; ``sound`` is the encoded file of a spoken reply."""
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if sound is not None:
            message["content"] = None
            message |= self.audio(data=_base64(sound), expires_at=int(time.time()), transcript=text)
        choice = {"index": 0, "message": message, "finish_reason": finish.reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(finish)}


def usage(finish: Finish) -> dict[str, int]:
    prompt, completion = finish.prompt_tokens, finish.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _event(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n"


async def events(reply: Reply, shape: ReplyShape) -> AsyncIterator[str]:
    """The server-sent events of a streamed completion; a reply that fails on the way ends with an ``error`` event."""
    yield _event(shape.chunk({"role": "assistant"}))
    try:
        async for delta in _deltas(reply, shape):
            yield _event(shape.chunk(delta))
    except ApiError as error:
        yield _event(error.body())
        return
    assert reply.finish is not None
    if shape.speak:
        # Replies are not kept: their sound has expired by the time it is told.
        yield _event(shape.chunk(shape.audio(expires_at=int(time.time()))))
    yield _event(shape.chunk({}, reply.finish.reason))
    if shape.include_usage:
        yield _event(shape.usage_chunk(reply.finish))
    yield "data: [DONE]\n\n"


async def _deltas(reply: Reply, shape: ReplyShape) -> AsyncIterator[dict[str, Any]]:
    header = stream_header(shape.audio_format, shape.sample_rate)
    async for message in reply:
        match message:
            case TextDelta(text):
                yield shape.audio(transcript=text) if shape.speak else {"content": text}
            case AudioChunk(samples) if len(samples):
                yield shape.audio(data=_base64(header + pcm16(samples)))
                header = b""


async def collect(reply: Reply) -> tuple[str, Waveform]:
    """The whole reply: its text and its samples."""
    texts: list[str] = []
    sounds: list[Waveform] = [np.zeros(0, np.float32)]
    async for message in reply:
        match message:
            case TextDelta(text):
                texts.append(text)
            case AudioChunk(samples):
                sounds.append(samples)
    return "".join(texts), np.concatenate(sounds)
