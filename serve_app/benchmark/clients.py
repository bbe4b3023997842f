"""HTTP clients that measure the replies they get. They run in processes of their own, see :class:`ClientProcesses`."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Self

import httpx
import numpy as np

from opens2s_core.inference.messages import AudioChunk, TextDelta
from serve_app.observability.reply_stats import NOTICEABLE_SECONDS, ReplyStats

_TIMEOUT_SECONDS = 120.0
_PROCESSES = 2
Body = bytes
"""The body of a request for a streamed reply: JSON."""
REFUSED = (429, 503)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyResult:
    """A reply as its client got it. ``asked`` is seconds since the epoch, other times are seconds since ``asked``.
    ``status`` is 0 where the client left, and 599 where there was no answer."""

    asked: float
    status: int
    complete: bool
    first_text: float | None
    first_audio: float | None
    seconds: float
    audio: float  # seconds of audio
    longest_underrun: float  # seconds that the listener waited at once for more audio

    @property
    def refused(self) -> bool:
        return self.status in REFUSED

    @property
    def lost(self) -> bool:
        """Neither complete nor refused nor ended by the client."""
        return not self.complete and not self.refused and self.status != 0

    @property
    def continuous(self) -> bool:
        """Whether the listener noticed no gap."""
        return self.complete and self.longest_underrun <= NOTICEABLE_SECONDS


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All replies of a load pattern in the order in which they ended, and the CPU time that the clients took."""

    replies: list[ReplyResult]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and the sample rate of the audio."""

    url: str
    sample_rate: int


class Client:
    """Asks for replies and receives them."""

    def __init__(self, http: httpx.AsyncClient, target: Target) -> None:
        self._http = http
        self.target = target

    async def ask(self, body: Body, *, leave: float | None = None) -> ReplyResult:
        """One reply; the client closes the connection after ``leave`` seconds."""
        asked = time.time()
        stats = ReplyStats(self.target.sample_rate)
        status, complete = 0, False
        url, headers = f"{self.target.url}/v1/chat/completions", {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(leave):
                async with self._http.stream("POST", url, content=body, headers=headers) as response:
                    status = response.status_code
                    async for line in response.aiter_lines():
                        complete |= line == "data: [DONE]"
                        _note(stats, line)
        except TimeoutError:
            status = 0
        except httpx.HTTPError:
            status = status or 599
        return ReplyResult(
            asked=asked,
            status=status,
            complete=complete and status == 200,
            first_text=stats.first_text,
            first_audio=stats.first_audio,
            seconds=stats.elapsed(),
            audio=stats.audio,
            longest_underrun=stats.playback.longest_underrun,
        )

    async def listen(self, body: Body) -> ReplyResult:
        """One reply, which is played to its end."""
        began = time.monotonic()
        reply = await self.ask(body)
        played = (reply.first_audio or 0.0) + reply.audio
        await asyncio.sleep(max(0.0, played - (time.monotonic() - began)))
        return reply


def _note(stats: ReplyStats, line: str) -> None:
    if not line.startswith("data: {"):
        return
    for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
        audio = choice["delta"].get("audio") or {}
        if audio.get("transcript"):
            stats.note(TextDelta(audio["transcript"]))
        if data := audio.get("data"):
            count = (len(data) * 3 // 4 - data[-2:].count("=")) // 2
            stats.note(AudioChunk(np.empty(count, np.int16), final=False))


LoadPattern = Callable[..., Coroutine[Any, Any, list[ReplyResult]]]
"""A function of ``serve_app.benchmark.load``, which asks with a :class:`Client`."""


class ClientProcesses:
    """The processes in which clients run, while it is entered: two load patterns may run at once."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, target: Target, pattern: LoadPattern, *arguments: Any) -> LoadResult:
        """Carry out a load pattern, whose first argument is the client."""
        return self.start(target, pattern, *arguments)()

    def start(self, target: Target, pattern: LoadPattern, *arguments: Any) -> Callable[[], LoadResult]:
        """The same in the background; what is returned waits for the end."""
        return self._pool.submit(_carry_out, target, pattern, *arguments).result


def _carry_out(target: Target, pattern: LoadPattern, *arguments: Any) -> LoadResult:
    began, used = time.monotonic(), time.process_time()

    async def ask() -> list[ReplyResult]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits) as http:
            return await pattern(Client(http, target), *arguments)

    replies = asyncio.run(ask())
    return LoadResult(replies, time.monotonic() - began, time.process_time() - used)
