"""Callers for a benchmark: they ask over HTTP, hear the sound as it comes, and note when. They run in one process of
their own, which says how much of a core it took."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Self

import httpx
import numpy as np

from opens2s_core.inference.messages import AudioChunk, TextDelta
from serve_app.observability.figures import ReplyFigures

_PATIENCE_SECONDS = 120.0
Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A reply as its caller had it; times in seconds since it was asked for, ``at`` since the epoch."""

    at: float
    status: int
    whole: bool
    first_text: float | None
    first_audio: float | None
    took: float
    audio: float
    underrun: float
    continuous: bool

    @property
    def lost(self) -> bool:
        """Neither whole nor left by the caller's own will nor told to come back later."""
        return not self.whole and self.status not in (0, 429, 503)


@dataclass(frozen=True, slots=True)
class Asked:
    """All replies of a plan, in the order in which they ended, and what asking cost: seconds, and of a core."""

    replies: list[Heard]
    seconds: float
    core_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and the rate of what is heard there."""

    url: str
    sample_rate: int


Plan = Callable[..., Coroutine[Any, Any, list[Heard]]]


class Clients:
    """The process in which callers live, while it is entered."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, plan: Plan, *arguments: Any) -> Asked:
        """Carry out a plan of this module: its first two arguments, where to ask and with what, are given."""
        return self.begin(plan, *arguments)()

    def begin(self, plan: Plan, *arguments: Any) -> Callable[[], Asked]:
        """The same, in the background; what is returned waits for the end."""
        return self._pool.submit(_carry_out, plan, self._target, *arguments).result


def _carry_out(plan: Plan, target: Target, *arguments: Any) -> Asked:
    began, used = time.monotonic(), time.process_time()

    async def ask() -> list[Heard]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS, limits=limits) as http:
            return await plan(Caller(http, target), *arguments)

    replies = asyncio.run(ask())
    return Asked(replies, time.monotonic() - began, time.process_time() - used)


class Caller:
    """Asks for one reply after the other, or several at once."""

    def __init__(self, http: httpx.AsyncClient, target: Target) -> None:
        self._http = http
        self._target = target

    async def hear(self, body: Body, *, leave: float | None = None) -> Heard:
        """One reply, hung up on after ``leave`` seconds."""
        at = time.time()
        figures = ReplyFigures(self._target.sample_rate)
        status, whole = 0, False
        try:
            async with asyncio.timeout(leave):
                async with self._http.stream("POST", f"{self._target.url}/v1/chat/completions", json=body) as answer:
                    status = answer.status_code
                    async for line in answer.aiter_lines():
                        whole |= line == "data: [DONE]"
                        _note(figures, line)
        except TimeoutError:
            status = 0
        except httpx.HTTPError:
            status = status or 599
        return Heard(
            at=at,
            status=status,
            whole=whole and status == 200,
            first_text=figures.first_text,
            first_audio=figures.first_audio,
            took=figures.elapsed(),
            audio=figures.audio,
            underrun=figures.underrun,
            continuous=figures.continuous,
        )


def _note(figures: ReplyFigures, line: str) -> None:
    if not line.startswith("data: {"):
        return
    for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
        audio = choice["delta"].get("audio") or {}
        if audio.get("transcript"):
            figures.note(TextDelta(audio["transcript"]))
        if data := audio.get("data"):
            count = (len(data) * 3 // 4 - data[-2:].count("=")) // 2
            figures.note(AudioChunk(np.empty(count, np.int16), final=False))


async def together(caller: Caller, bodies: Sequence[Body], leave: float | None = None) -> list[Heard]:
    """All at once; those whose replies last longer hang up after ``leave`` seconds."""
    return list(await asyncio.gather(*(caller.hear(body, leave=leave) for body in bodies)))


async def again_and_again(caller: Caller, bodies: Sequence[Body], seconds: float) -> list[Heard]:
    """So many callers as there are bodies; each asks anew as soon as it has heard a reply, for so many seconds."""
    replies: list[Heard] = []
    until = time.monotonic() + seconds

    async def one(body: Body) -> None:
        while time.monotonic() < until:
            replies.append(await caller.hear(body))

    await asyncio.gather(*map(one, bodies))
    return replies


async def ramp(caller: Caller, bodies: Sequence[Body], steps: Sequence[tuple[float, int]]) -> list[Heard]:
    """For so many seconds each so many callers, who join or end their last reply as the number changes."""
    replies: list[Heard] = []
    wanted = 0

    async def one(number: int) -> None:
        while number < wanted:
            replies.append(await caller.hear(bodies[number % len(bodies)]))

    running: dict[int, asyncio.Task[None]] = {}
    for seconds, wanted in steps:
        for number in range(wanted):
            if number not in running or running[number].done():
                running[number] = asyncio.create_task(one(number))
        await asyncio.sleep(seconds)
    wanted = 0
    await asyncio.gather(*running.values())
    return replies


async def come_and_go(caller: Caller, bodies: Sequence[Body], clients: int, seconds: float, seed: int) -> list[Heard]:
    """So many callers who join at random, hear a reply to its end or leave it at random, and come again."""
    replies: list[Heard] = []
    until = time.monotonic() + seconds
    chance = random.Random(seed)

    async def one(number: int) -> None:
        await asyncio.sleep(chance.uniform(0, seconds / 4))
        while time.monotonic() < until:
            leave = chance.choice((None, chance.uniform(0, 0.1), chance.uniform(0, 2.0)))
            replies.append(await caller.hear(bodies[number % len(bodies)], leave=leave))
            await asyncio.sleep(chance.uniform(0, 1.0))

    await asyncio.gather(*map(one, range(clients)))
    return replies
