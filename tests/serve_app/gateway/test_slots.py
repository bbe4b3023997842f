"""Bodies, slots and deadlines of many requests at once, over fake stages."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from serve_app.config import GatewayConfig
from serve_app.gateway import routes
from tests.fakes import (
    LocalBackend,
)
from tests.serve_app.gateway.served import (
    CHAT,
    CONFIG,
    SPOKEN,
    AsgiRequest,
    chat,
    served,
    with_api,
)

BODY = json.dumps(chat()).encode()
LONG = json.dumps(chat(stream=True, messages=[{"role": "user", "content": "word " * 300}], **SPOKEN)).encode()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


def complete_request() -> AsgiRequest:
    request = AsgiRequest()
    request.send(BODY)
    return request


def test_idle_connections_do_not_block_complete_requests() -> None:
    config = replace(CONFIG, gateway=GatewayConfig(body_idle_seconds=3.0))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        idle = [AsgiRequest() for _ in range(100)]
        waiting = [asyncio.create_task(request.run(api)) for request in idle]
        await asyncio.sleep(0.05)
        assert backend.metrics.under_way == 0
        answers = await asyncio.gather(*(complete_request().run(api) for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        assert not any(task.done() for task in waiting)
        await asyncio.wait(waiting)
        assert {(request.status, request.code) for request in idle} == {(408, "body_timeout")}

    with_api(ask, config)


def test_a_full_server_refuses_before_the_body_is_read() -> None:
    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        async with backend.admission.slot(None), backend.admission.slot(None):
            refused = await AsgiRequest().run(api)
        assert (refused.status, refused.code, refused.reads) == (503, "overloaded", 0)
        assert int(refused.answered["retry-after"]) > 0
        assert (await complete_request().run(api)).status == 200

    with_api(ask, queue=0)


def test_a_request_that_must_wait_is_not_decoded_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Any] = []
    build = routes.chat_reply_request
    monkeypatch.setattr(routes, "chat_reply_request", lambda *args: decoded.append(args) or build(*args))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        async with backend.admission.slot(None):
            waiting = [asyncio.create_task(complete_request().run(api)) for _ in range(3)]
            while backend.metrics.under_way < 3:
                await asyncio.sleep(0.01)
            assert decoded == []
        assert [(await task).status for task in waiting] == [200] * 3

    with_api(ask, capacity=1)


def test_a_burst_is_answered_or_refused_and_nothing_else() -> None:
    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        answers = await asyncio.gather(*(complete_request().run(api) for _ in range(40)))
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 6  # two slots and four that wait
        assert {answer.code for answer in answers if answer.status == 503} == {"overloaded"}

    with_api(ask)


def test_bodies_that_take_all_memory_together_are_refused() -> None:
    config = replace(CONFIG, gateway=GatewayConfig(buffer_bytes=1000, body_idle_seconds=0.5))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        first = AsgiRequest()
        first.send(b" " * 900, more=True)
        reading = asyncio.create_task(first.run(api))
        await asyncio.sleep(0.05)
        second = AsgiRequest()
        second.send(b" " * 900)
        await second.run(api)
        assert (second.status, second.code) == (503, "overloaded")
        assert int(second.answered["retry-after"]) > 0
        first.leave()
        await reading
        assert (await complete_request().run(api)).status == 200

    with_api(ask, config)


def test_the_body_is_measured_while_it_is_read(client: TestClient) -> None:
    chunks = (b" " * 1000 for _ in range(501))
    response = client.post(CHAT, content=chunks, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


def test_a_client_that_leaves_while_its_body_comes_in_is_no_error() -> None:
    async def leave(api: FastAPI, backend: LocalBackend) -> None:
        request = AsgiRequest()
        request.send(b"{", more=True)
        request.leave()
        await request.run(api)
        assert request.status == 499

    with_api(leave)


def test_a_client_that_leaves_a_stream_frees_its_slots() -> None:
    async def leave(api: FastAPI, backend: LocalBackend) -> None:
        for _ in range(3):
            requests = [AsgiRequest() for _ in range(2)]
            for request in requests:
                request.send(LONG)
            running = [asyncio.create_task(request.run(api)) for request in requests]
            while not all(request.body.count(b"data: ") > 3 for request in requests):
                await asyncio.sleep(0.005)
            for request in requests:
                request.leave()
            await asyncio.wait(running)
            await backend.free()

    with_api(leave)


def test_a_handler_that_is_cancelled_frees_its_slots() -> None:
    async def cancel(api: FastAPI, backend: LocalBackend) -> None:
        for seconds in (0, 0.001, 0.005, 0.02, 0.05):
            for body in (BODY, LONG, json.dumps(chat(**SPOKEN)).encode()):
                request = AsgiRequest()
                request.send(body)
                running = asyncio.create_task(request.run(api))
                await asyncio.sleep(seconds)
                running.cancel()
                await asyncio.wait([running])
                await backend.free()

    with_api(cancel)
