"""Load patterns: who asks when. Each asks with a client and returns the replies in the order in which they ended."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from serve_app.benchmark.clients import Body, Client, ReplyResult


async def burst(client: Client, bodies: Sequence[Body], leave: float | None = None) -> list[ReplyResult]:
    """All at once, in the order of the bodies; a client closes its connection after ``leave`` seconds without a whole
    reply."""
    return list(await asyncio.gather(*(client.ask(body, leave=leave) for body in bodies)))


async def closed_loop(
    client: Client, bodies: Sequence[Body], count: int, seconds: float, listen: bool = False
) -> list[ReplyResult]:
    """``count`` clients for so many seconds. Each asks again as soon as it has a reply or, if they ``listen``, once it
    has played it."""
    replies: list[ReplyResult] = []
    until = time.monotonic() + seconds
    questions = itertools.cycle(bodies)

    async def one() -> None:
        while time.monotonic() < until:
            body = next(questions)
            replies.append(await (client.listen(body) if listen else client.ask(body)))

    await asyncio.gather(*(one() for _ in range(count)))
    return replies


async def open_loop(
    client: Client, bodies: Sequence[Body], rate: float, seconds: float, leave: float
) -> list[ReplyResult]:
    """``rate`` new clients a second, whatever became of those before; each leaves after ``leave`` seconds."""
    began = time.monotonic()
    asked = []
    for number, body in zip(range(round(rate * seconds)), itertools.cycle(bodies), strict=False):
        await asyncio.sleep(began + number / rate - time.monotonic())
        asked.append(asyncio.create_task(client.ask(body, leave=leave)))
    return list(await asyncio.gather(*asked))


async def saturate(client: Client, bodies: Sequence[Body], count: int, seconds: float) -> list[ReplyResult]:
    """``count`` clients, each of which asks again at once when it has a reply, and after a second when it is refused;
    they leave after so many seconds."""
    replies: list[ReplyResult] = []
    until = time.monotonic() + seconds
    questions = itertools.cycle(bodies)

    async def one() -> None:
        while (left := until - time.monotonic()) > 0:
            reply = await client.ask(next(questions), leave=left)
            replies.append(reply)
            if not reply.complete:
                await asyncio.sleep(1.0)

    await asyncio.gather(*(one() for _ in range(count)))
    return replies


async def ramp(client: Client, bodies: Sequence[Body], steps: Sequence[tuple[float, int]]) -> list[ReplyResult]:
    """For so many seconds each so many clients, which join, or leave after their last reply, as the number changes."""
    replies: list[ReplyResult] = []
    wanted = 0
    questions = itertools.cycle(bodies)

    async def one(number: int) -> None:
        while number < wanted:
            replies.append(await client.ask(next(questions)))

    running: dict[int, asyncio.Task[None]] = {}
    for seconds, wanted in steps:
        for number in range(wanted):
            if number not in running or running[number].done():
                running[number] = asyncio.create_task(one(number))
        await asyncio.sleep(seconds)
    wanted = 0
    await asyncio.gather(*running.values())
    return replies


async def churn(client: Client, bodies: Sequence[Body], count: int, seconds: float, seed: int) -> list[ReplyResult]:
    """``count`` clients that join at random, wait for a whole reply or leave at random, and join again."""
    replies: list[ReplyResult] = []
    until = time.monotonic() + seconds
    chance = random.Random(seed)
    questions = itertools.cycle(bodies)

    async def one() -> None:
        await asyncio.sleep(chance.uniform(0, seconds / 4))
        while time.monotonic() < until:
            leave = chance.choice((None, chance.uniform(0, 0.1), chance.uniform(0, 2.0)))
            replies.append(await client.ask(next(questions), leave=leave))
            await asyncio.sleep(chance.uniform(0, 1.0))

    await asyncio.gather(*(one() for _ in range(count)))
    return replies


async def retry(client: Client, bodies: Sequence[Body], pause: float, seconds: float) -> list[ReplyResult]:
    """One client that asks until it gets a whole reply, at most for so many seconds, with a pause between attempts."""
    replies: list[ReplyResult] = []
    until = time.monotonic() + seconds
    for body in itertools.cycle(bodies):
        replies.append(await client.ask(body))
        if replies[-1].complete or time.monotonic() > until:
            return replies
        await asyncio.sleep(pause)
    return replies


async def headers_only(client: Client, rate: float, seconds: float) -> list[ReplyResult]:
    """``rate`` connections a second that send the headers of a request and no body, and stay open till the end."""
    address = urlsplit(client.target.url)
    headers = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    began = time.monotonic()
    connections = []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(began + number / rate - time.monotonic())
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(headers + b"Content-Length: 100000\r\n\r\n")
        connections.append(writer)
    for writer in connections:
        writer.close()
    return []
