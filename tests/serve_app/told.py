"""What clients are told: of a reply whose messages are known beforehand, and of a request that may be wrong."""

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


class Told:
    """In the place of ``gateway.reply.Reply``; fails behind its messages with ``failure``, if there is one."""

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


def written(*words: str, reason: str = "stop") -> list[StageMessage]:
    return [*map(TextDelta, words), Finish(reason, 7, len(words))]  # type: ignore[arg-type]


def spoken(*words: str, sound: NDArray[np.int16], parts: int = 3) -> list[StageMessage]:
    """Text first, then the sound in so many chunks and a last one that is empty."""
    chunks = [AudioChunk(part, final=False) for part in np.array_split(sound, parts)]
    return [*written(*words), *chunks, AudioChunk(np.zeros(0, np.int16), final=True)]


def all_of(items: AsyncIterator[T]) -> list[T]:
    async def listen() -> list[T]:
        return [item async for item in items]

    return asyncio.run(listen())


Parser = Callable[[bytes], object]
"""Understands a body, or raises :class:`ApiError`."""


def understood_by(parser: Callable[[bytes], T], body: Any) -> T:
    """A body as it is sent: bytes, or what JSON has to say it."""
    return parser(body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal_by(parser: Parser, body: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        understood_by(parser, body)
    return refused.value


def verdict_by(parser: Parser, body: Any) -> int:
    """200, or the status of a refusal that can be sent."""
    try:
        understood_by(parser, body)
    except ApiError as error:
        json.dumps(error.body()).encode()
        return error.status
    return 200
