"""Replies whose messages are known beforehand, and checks of what a request parser accepts and refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage, TextDelta
from serve_app.errors import ApiError

T = TypeVar("T")
RATE = 22_050
FAILURE = ApiError(503, "a stage failed and is being replaced: try again soon", code="stage_failed")


class FakeReply:
    """A ``ReplyStream`` of these messages; fails after them with ``failure``, if there is one."""

    def __init__(self, *messages: StageMessage, failure: ApiError | None = None) -> None:
        self._messages = messages
        self._failure = failure
        self.finish: Finish | None = None

    async def __aiter__(self) -> AsyncIterator[StageMessage]:
        for message in self._messages:
            self.finish = message if isinstance(message, Finish) else self.finish
            yield message
        if self._failure is not None:
            raise self._failure


def tone(seconds: float) -> NDArray[np.int16]:
    return np.rint(10_000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def text_reply(*deltas: str, reason: str = "stop") -> list[StageMessage]:
    return [*map(TextDelta, deltas), Finish(reason, 7, len(deltas))]  # type: ignore[arg-type]


def spoken_reply(*deltas: str, audio: NDArray[np.int16], chunks: int = 3) -> list[StageMessage]:
    """Text first, then the audio in so many chunks and a last one that is empty."""
    parts = [AudioChunk(part, final=False) for part in np.array_split(audio, chunks)]
    return [*text_reply(*deltas), *parts, AudioChunk(np.zeros(0, np.int16), final=True)]


def collect(items: AsyncIterator[T]) -> list[T]:
    async def run() -> list[T]:
        return [item async for item in items]

    return asyncio.run(run())


Parser = Callable[[bytes], object]
"""Accepts a body, or raises :class:`ApiError`."""


def parse_with(parser: Callable[[bytes], T], body: Any) -> T:
    """Parses a body as it is sent: bytes, or a value that is sent as JSON."""
    return parser(body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal_by(parser: Parser, body: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse_with(parser, body)
    return refused.value


def status_by(parser: Parser, body: Any) -> int:
    """200, or the status of an error that can be sent."""
    try:
        parse_with(parser, body)
    except ApiError as error:
        json.dumps(error.body()).encode()
        return error.status
    return 200
