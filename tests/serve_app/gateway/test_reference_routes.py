"""The endpoints of the published server's protocol, over fake stages."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from serve_app.config import GatewayConfig, ServeConfig
from tests.fakes import (
    REFUSED,
    LocalBackend,
)
from tests.serve_app.gateway.served import (
    CONFIG,
    PCM,
    TEXT,
    AsgiRequest,
    served,
    with_api,
    zero_ended,
)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


def test_a_client_of_the_reference_is_answered_as_by_the_published_server(client: TestClient) -> None:
    assert client.post("/list_models").json() == {"models": ["opens2s", "omnispeech"]}
    assert client.post("/worker_get_status").json() == {
        "model_names": ["opens2s", "omnispeech"],
        "speed": 1,
        "queue_length": 0,
    }
    asked = {"model": "omnispeech", "messages": [{"role": "user", "content": "hello"}], "max_new_tokens": 9}
    objects = zero_ended(client.post("/worker_generate_stream", json=asked).content)
    assert [part["finalize"] for part in objects] == [False] * (len(objects) - 1) + [True]
    assert objects[-1]["text"] == TEXT
    assert {part["error_code"] for part in objects} == {0}
    assert b"".join(base64.b64decode(part["audio"])[44:] for part in objects if part["audio"]) == PCM


@pytest.mark.parametrize("host", ["testserver", "elsewhere.example", "elsewhere.example:80", ""])
@pytest.mark.parametrize(
    ("config", "address"),
    [
        (replace(CONFIG, host="10.0.0.7", port=9000), "http://10.0.0.7:9000"),
        (replace(CONFIG, gateway=GatewayConfig(address="https://speech.example")), "https://speech.example"),
    ],
)
def test_the_address_of_the_worker_comes_from_the_configuration(host: str, config: ServeConfig, address: str) -> None:
    with served(config) as (client, _):
        for model, expected in (("opens2s", address), ("omnispeech", address), ("gpt", "")):
            headers = {"host": host, "x-forwarded-host": "elsewhere.example"}
            answer = client.post("/get_worker_address", json={"model": model}, headers=headers)
            assert answer.json() == {"address": expected}


REFERENCE = {"model": "omnispeech", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("content", "headers", "why"),
    [
        (b"{", {}, "JSON"),
        (json.dumps({**REFERENCE, "model": "gpt"}).encode(), {}, "gpt"),
        (json.dumps({**REFERENCE, "messages": []}).encode(), {}, "at least 1 item"),
        (b" " * 500_001, {}, "too large"),
        (json.dumps(REFERENCE).encode(), {"content-type": "text/plain"}, "application/json"),
        (json.dumps(REFERENCE).encode(), {"origin": "https://elsewhere.example"}, "is not allowed"),
        (json.dumps({"messages": [{"role": "user", "content": REFUSED}]}).encode(), {}, "too long"),
    ],
)
def test_errors_of_the_references_protocol_are_objects_of_its_stream(
    client: TestClient, content: bytes, headers: dict[str, str], why: str
) -> None:
    response = client.post(
        "/worker_generate_stream", content=content, headers={"content-type": "application/json", **headers}
    )
    [error] = zero_ended(response.content)
    assert response.status_code == 200
    assert (error["error_code"], error["finalize"], error["audio"]) == (1, True, "")
    assert why in error["text"]


def test_a_full_server_too_is_an_object_of_the_references_stream() -> None:
    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        async with backend.admission.slot(None):
            request = AsgiRequest("/worker_generate_stream")
            await request.run(api)
        [error] = zero_ended(request.body)
        assert (error["error_code"], error["text"]) == (1, "the server is full: try again soon")
        assert int(request.answered["retry-after"]) > 0

    with_api(ask, capacity=1, queue=0)
