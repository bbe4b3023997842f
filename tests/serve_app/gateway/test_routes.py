"""The endpoints over fake stages."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serve_app.api.spoken_text import split_text
from serve_app.config import Access, GatewayConfig, ServeConfig
from serve_app.gateway import reply as reply_module
from serve_app.gateway import resume, routes
from serve_app.observability.metrics import GatewayMetrics
from tests.fakes import (
    GROUP,
    POISON,
    REFUSED,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    LocalBackend,
    local_backend,
    reply_request,
    whole_reply,
)
from tests.serve_app.gateway.served import (
    CHAT,
    CONFIG,
    PCM,
    RATE,
    SPOKEN,
    TEXT,
    Connection,
    api_of,
    chat,
    pcm,
    post,
    sent_events,
    served,
)

BODY = json.dumps(chat()).encode()
LONG = json.dumps(chat(stream=True, messages=[{"role": "user", "content": "word " * 300}], **SPOKEN)).encode()
ENDPOINTS: list[tuple[str, str]] = [
    ("POST", CHAT),
    ("POST", "/v1/audio/speech"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/opens2s"),
    ("POST", "/worker_generate_stream"),
    ("POST", "/worker_get_status"),
    ("POST", "/list_models"),
    ("POST", "/get_worker_address"),
    ("GET", "/metrics"),
]


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


def sdk(client: TestClient, key: str = "none") -> openai.OpenAI:
    """The unmodified public client."""
    return openai.OpenAI(base_url="http://testserver/v1", api_key=key, http_client=client, max_retries=0)


def zero_ended(body: bytes) -> list[dict[str, Any]]:
    """The objects of the reference's protocol."""
    assert body.endswith(b"\0")
    return [json.loads(part) for part in body.split(b"\0")[:-1]]


def test_a_written_reply_whole_and_streamed(client: TestClient) -> None:
    whole = post(client).json()
    assert whole["choices"][0]["message"]["content"] == TEXT
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    chunks = sent_events(post(client, stream=True))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == TEXT
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_a_spoken_reply_whole_and_streamed(client: TestClient) -> None:
    spoken = post(client, **SPOKEN).json()["choices"][0]["message"]
    assert spoken["content"] is None
    assert spoken["audio"]["transcript"] == TEXT
    assert base64.b64decode(spoken["audio"]["data"]) == PCM

    chunks = sent_events(post(client, stream=True, stream_options={"include_usage": True}, **SPOKEN))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 4
    deltas = [c["choices"][0]["delta"]["audio"] for c in chunks[:-1] if "audio" in c["choices"][0]["delta"]]
    assert "".join(delta.get("transcript", "") for delta in deltas) == TEXT
    assert b"".join(base64.b64decode(delta.get("data", "")) for delta in deltas) == PCM
    assert list(deltas[-1]) == ["id", "expires_at"]
    assert len({delta["id"] for delta in deltas}) == 1


@pytest.mark.parametrize("lost", ["thinker", "speech_decoder", "token2wav"])
def test_a_stage_that_is_lost_does_not_show_in_the_reply(lost: str, caplog: pytest.LogCaptureFixture) -> None:
    with served(losses=[(lost, 0)]) as (client, _), caplog.at_level("INFO", "ray.serve"):
        audio = post(client, **SPOKEN).json()["choices"][0]["message"]["audio"]
    assert audio["transcript"] == TEXT
    assert base64.b64decode(audio["data"]) == PCM
    assert logged(caplog)["resumes"] == 1


def test_the_public_client_plays_a_reply(client: TestClient) -> None:
    chunks = list(sdk(client).chat.completions.create(**chat(stream=True, **SPOKEN)))
    audio = [chunk.choices[0].delta.audio for chunk in chunks if chunk.choices and chunk.choices[0].delta.audio]  # type: ignore[attr-defined]
    assert b"".join(base64.b64decode(getattr(delta, "data", None) or "") for delta in audio) == PCM


def test_the_public_client_has_a_text_read(client: TestClient) -> None:
    with sdk(client).audio.speech.with_streaming_response.create(
        model="opens2s", voice="default", input="good morning", response_format="pcm"
    ) as answer:
        audio = answer.read()
    assert audio == pcm(whole_reply(replace(reply_request(), say="good morning"))[1])


def test_a_reading_may_come_as_events_or_as_a_file(client: TestClient) -> None:
    body = {"model": "opens2s", "voice": "default", "input": "good morning"}
    file = client.post("/v1/audio/speech", json=body)
    assert file.headers["content-type"] == "audio/mpeg"
    assert len(file.content) > 1000
    text = client.post("/v1/audio/speech", json={**body, "response_format": "pcm", "stream_format": "sse"}).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1]["type"] == "speech.audio.done"


def test_a_long_reading_in_several_parts_is_one_reply(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    text = " ".join(f"This is sentence number {number} of a text that is read aloud." for number in range(8))
    parts = split_text(text)
    assert len(parts) > 2
    body = {"model": "opens2s", "voice": "default", "input": text, "response_format": "pcm", "stream_format": "sse"}
    with caplog.at_level("INFO", "ray.serve"):
        lines = client.post("/v1/audio/speech", json=body).text.split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert events[-1]["usage"]["output_tokens"] == len(text.split())
    seconds = sum(len(base64.b64decode(event.get("audio", ""))) for event in events) / 2 / RATE
    assert seconds == pytest.approx(len(text.split()) * 2 * GROUP / 12.5, rel=0.02)
    assert logged(caplog)["completion_tokens"] == len(text.split())


def test_the_public_client_lists_the_model(client: TestClient) -> None:
    (listed,) = sdk(client).models.list().data
    assert sdk(client).models.retrieve("opens2s").id == listed.id == "opens2s"
    with pytest.raises(openai.NotFoundError):
        sdk(client).models.retrieve("gpt")


def test_the_model_is_listed_with_what_one_should_know_of_it(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["object"], model["sample_rate"], model["voice_trained"]) == ("model", RATE, False)
    assert model["voices"] == ["default"]
    assert "synthetic" in model["notice"]
    assert "untrained" in model["notice"]


# How a reply ends


def test_text_that_was_cut_says_so(client: TestClient) -> None:
    assert post(client, max_tokens=2).json()["choices"][0]["finish_reason"] == "length"


def test_speech_that_was_cut_says_so_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(GatewayMetrics, "cut", lambda self, reason: counted.append(reason))
    decoder = FakeSpeechDecoder(2, cut_after=2 * GROUP, finish="loop")
    with served(engines=[FakeThinker(2), decoder, FakeToken2Wav(2)]) as (client, _):
        whole = post(client, **SPOKEN).json()["choices"][0]
        assert whole["finish_reason"] == "length"
        assert whole["message"]["audio"]["transcript"] == TEXT
        assert sent_events(post(client, stream=True, **SPOKEN))[-1]["choices"][0]["finish_reason"] == "length"
        assert post(client).json()["choices"][0]["finish_reason"] == "stop", "nothing is spoken"
    assert counted == ["loop", "loop"]


def test_what_a_stage_refuses_is_a_bad_request(client: TestClient) -> None:
    response = post(client, messages=[{"role": "user", "content": REFUSED}])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "the prompt is too long"
    assert response.json()["error"]["param"] == "messages"
    refused = client.post("/v1/audio/speech", json={"model": "opens2s", "voice": "default", "input": REFUSED})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("body", [chat(), chat(**SPOKEN), chat(stream=True)])
def test_a_request_under_which_three_stages_die_is_a_clean_error(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))
    with served(losses=[("thinker", 0)] * 3) as (client, backend):
        response = client.post(CHAT, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (500, "reply_failed")
        assert len(backend.clients["thinker"].connections) == 3
        assert post(client).status_code == 200


def test_an_error_behind_the_start_is_an_event_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))
    with served() as (client, _):
        response = post(client, stream=True, messages=[{"role": "user", "content": POISON}])
        assert response.status_code == 200
        error = json.loads(response.text.split("\n\n")[-2].removeprefix("data: "))["error"]
        assert error["code"] == "reply_failed"
        assert post(client, stream=True).status_code == 500, "the engine stays broken here"


def test_what_nobody_expected_is_an_internal_error_and_in_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reply_module.Reply, "_emit", lambda self, message: 1 // 0)
    with caplog.at_level("INFO", "ray.serve"):
        response = post(client, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert logged(caplog)["outcome"] == "internal_error"


# The protocol of the published server


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
        (json.dumps(REFERENCE).encode(), {"origin": "https://elsewhere.example"}, "may not ask"),
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
            connection = Connection("/worker_generate_stream")
            await connection.run(api)
        [error] = zero_ended(connection.body)
        assert (error["error_code"], error["text"]) == (1, "the server is full: try again soon")
        assert int(connection.answered["retry-after"]) > 0

    with_api(ask, capacity=1, queue=0)


# What a spoken reply said, by its id


def again(audio_id: str) -> dict[str, Any]:
    """A request that refers to an earlier reply by its id alone."""
    earlier = {"role": "assistant", "audio": {"id": audio_id}}
    return chat(messages=[{"role": "user", "content": "hello"}, earlier, {"role": "user", "content": "and then?"}])


@pytest.mark.parametrize("stream", [False, True])
def test_a_spoken_reply_is_known_by_its_id_to_the_key_that_made_it(
    stream: bool, keyed: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    thinker_open = FakeThinker.open
    monkeypatch.setattr(
        FakeThinker,
        "open",
        lambda self, request, record=None: asked.append(request) or thinker_open(self, request, record),
    )
    one, two = ({"authorization": f"Bearer {key}"} for key in ("one", "two"))
    made = keyed.post(CHAT, json=chat(stream=stream, **SPOKEN), headers=one)
    if stream:
        audio_id = sent_events(made)[1]["choices"][0]["delta"]["audio"]["id"]
    else:
        audio_id = made.json()["choices"][0]["message"]["audio"]["id"]
    assert keyed.post(CHAT, json=again(audio_id), headers=one).status_code == 200
    assert asked[-1].messages[1].content[0].text == TEXT.strip() or asked[-1].messages[1].content[0].text == TEXT
    for headers, name in ((two, audio_id), (one, "audio_unknown")):
        refused = keyed.post(CHAT, json=again(name), headers=headers)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"].startswith("messages[1].audio")


def test_the_reply_of_the_public_client_can_be_sent_back_as_it_is(client: TestClient) -> None:
    user: Any = {"role": "user", "content": "hello"}
    completions = sdk(client).chat.completions
    first = completions.create(**chat(**SPOKEN)).choices[0].message
    second: Any = completions.create(**chat(messages=[user, first, user], **SPOKEN)).choices[0].message
    assert second.audio.transcript == TEXT


# Who may ask, and how


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("OPENS2S_API_KEYS", "one,two")
    with served(per_client=1) as (client, _):
        yield client


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer three"}])
def test_with_keys_nothing_is_answered_without_one(
    keyed: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    refused = keyed.request(method, path, headers=headers)
    if path == "/worker_generate_stream":
        [error] = zero_ended(refused.content)
        assert (error["error_code"], error["finalize"]) == (1, True)
        assert "key" in error["text"]
    else:
        assert refused.status_code == 401
        assert "key" in refused.json()["error"]["message"]
    assert refused.headers["www-authenticate"] == "Bearer"


def test_who_has_a_key_is_answered_and_probes_need_none(keyed: TestClient) -> None:
    assert sdk(keyed, "two").chat.completions.create(**chat()).choices[0].message.content
    assert keyed.get("/health").status_code == keyed.get("/ready").status_code == 200
    with pytest.raises(openai.AuthenticationError):
        sdk(keyed, "three").models.list()


def test_what_a_key_may_have_at_once_is_free_again_after_each_reply(keyed: TestClient) -> None:
    for fields in ({}, {"stream": True}, {"messages": "wrong"}, {"stream": True, **SPOKEN}, {}):
        answer = keyed.post(CHAT, json=chat(**fields), headers={"authorization": "Bearer one"})
        assert answer.status_code in (200, 400)


def test_a_file_of_keys_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.gateway.authentication._LOOK_SECONDS", 0.0)
    (tmp_path / "keys").write_text("one\n")
    with served(replace(CONFIG, access=Access(keys_file=str(tmp_path / "keys")))) as (client, _):

        def statuses() -> list[int]:
            keys = ("one", "two")
            return [client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code for key in keys]

        assert statuses() == [200, 401]
        (tmp_path / "keys").write_text("# new\ntwo\n")
        assert statuses() == [401, 200]
        (tmp_path / "keys").write_text("")
        assert statuses() == [401, 401]


def test_the_application_is_not_made_where_the_keys_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENS2S_API_KEYS", ",")
    with pytest.raises(ValueError, match="found none"), served():
        pass


@pytest.mark.parametrize("path", [CHAT, "/v1/audio/speech", "/get_worker_address"])
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_a_page_can_send_unasked_is_refused(
    client: TestClient, path: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    refused = client.post(path, content=BODY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), [one for one in ENDPOINTS if one[1] != "/worker_generate_stream"])
def test_pages_of_other_origins_may_not_ask(client: TestClient, method: str, path: str) -> None:
    for origin in ("https://elsewhere.example", "null", "http://["):
        refused = client.request(method, path, headers={"origin": origin})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")


def test_pages_of_this_server_and_of_named_origins_may_ask(client: TestClient) -> None:
    assert client.post(CHAT, json=chat(), headers={"origin": "http://testserver"}).status_code == 200
    preflight = {"origin": "https://there.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options(CHAT, headers=preflight).headers
    config = replace(CONFIG, access=Access(cors_origins=("https://there.example",)))
    with served(config) as (client, _):
        allowed = client.options(CHAT, headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == "https://there.example"
        asked = client.post(CHAT, json=chat(), headers={"origin": "https://there.example"})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://there.example"
        other = client.options(CHAT, headers={**preflight, "origin": "https://elsewhere.example"})
        assert "access-control-allow-origin" not in other.headers
        assert client.post(CHAT, json=chat(), headers={"origin": "https://elsewhere.example"}).status_code == 403


@pytest.mark.parametrize(
    "request_id", ["", " ", "é", "x" * 129, "a\tb", "\x7f", "\xff" * 200], ids=lambda text: repr(text[:4])
)
def test_a_request_id_that_is_not_plain_is_replaced(
    client: TestClient, request_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "ray.serve"):
        answer = client.post(CHAT, json=chat(), headers={"x-request-id": request_id.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 200
    assert len(logged(caplog)["request_id"]) == 32


# Bodies and slots


def with_api(
    test: Callable[[FastAPI, LocalBackend], Awaitable[None]],
    config: ServeConfig = CONFIG,
    *,
    capacity: int = 2,
    queue: int = 4,
) -> None:
    """Carry out ``test`` on the application; every slot is free in the end, and no request is under way."""

    async def run() -> None:
        async with asyncio.timeout(20):
            await test(api_of(config, backend), backend)
            await backend.free()
            assert backend.metrics.under_way == 0

    with local_backend(capacity, queue=queue) as backend:
        asyncio.run(run())


def honest() -> Connection:
    connection = Connection()
    connection.send(BODY)
    return connection


def test_connections_that_send_only_headers_keep_no_honest_request_from_its_reply() -> None:
    config = replace(CONFIG, gateway=GatewayConfig(body_idle_seconds=1.0))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        idle = [Connection() for _ in range(100)]
        waiting = [asyncio.create_task(connection.run(api)) for connection in idle]
        await asyncio.sleep(0.05)
        assert backend.metrics.under_way == 0
        answers = await asyncio.gather(*(honest().run(api) for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        assert not any(task.done() for task in waiting)
        await asyncio.wait(waiting)
        assert {(connection.status, connection.code) for connection in idle} == {(408, "body_timeout")}

    with_api(ask, config)


def test_a_full_server_refuses_before_the_body_is_read() -> None:
    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        async with backend.admission.slot(None), backend.admission.slot(None):
            refused = await Connection().run(api)
        assert (refused.status, refused.code, refused.reads) == (503, "overloaded", 0)
        assert int(refused.answered["retry-after"]) > 0
        assert (await honest().run(api)).status == 200

    with_api(ask, queue=0)


def test_a_request_that_must_wait_is_not_decoded_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Any] = []
    build = routes.chat_reply_request
    monkeypatch.setattr(routes, "chat_reply_request", lambda *args: decoded.append(args) or build(*args))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        async with backend.admission.slot(None):
            waiting = [asyncio.create_task(honest().run(api)) for _ in range(3)]
            while backend.metrics.under_way < 3:
                await asyncio.sleep(0.01)
            assert decoded == []
        assert [(await task).status for task in waiting] == [200] * 3

    with_api(ask, capacity=1)


def test_a_burst_is_answered_or_refused_and_nothing_else() -> None:
    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        answers = await asyncio.gather(*(honest().run(api) for _ in range(40)))
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 6  # two slots and four that wait
        assert {answer.code for answer in answers if answer.status == 503} == {"overloaded"}

    with_api(ask)


def test_bodies_that_take_all_memory_together_are_refused() -> None:
    config = replace(CONFIG, gateway=GatewayConfig(buffer_bytes=1000, body_idle_seconds=0.5))

    async def ask(api: FastAPI, backend: LocalBackend) -> None:
        first = Connection()
        first.send(b" " * 900, more=True)
        reading = asyncio.create_task(first.run(api))
        await asyncio.sleep(0.05)
        second = Connection()
        second.send(b" " * 900)
        await second.run(api)
        assert (second.status, second.code) == (503, "overloaded")
        assert int(second.answered["retry-after"]) > 0
        first.leave()
        await reading
        assert (await honest().run(api)).status == 200

    with_api(ask, config)


def test_the_body_is_measured_while_it_is_read(client: TestClient) -> None:
    chunks = (b" " * 1000 for _ in range(501))
    response = client.post(CHAT, content=chunks, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


def test_a_client_that_leaves_while_its_body_comes_in_is_no_error() -> None:
    async def leave(api: FastAPI, backend: LocalBackend) -> None:
        connection = Connection()
        connection.send(b"{", more=True)
        connection.leave()
        await connection.run(api)
        assert connection.status == 499

    with_api(leave)


def test_a_client_that_leaves_a_stream_frees_its_slots() -> None:
    async def leave(api: FastAPI, backend: LocalBackend) -> None:
        for _ in range(3):
            connections = [Connection() for _ in range(2)]
            for connection in connections:
                connection.send(LONG)
            running = [asyncio.create_task(connection.run(api)) for connection in connections]
            while not all(connection.body.count(b"data: ") > 3 for connection in connections):
                await asyncio.sleep(0.005)
            for connection in connections:
                connection.leave()
            await asyncio.wait(running)
            await backend.free()

    with_api(leave)


def test_a_handler_that_is_cancelled_frees_its_slots() -> None:
    async def cancel(api: FastAPI, backend: LocalBackend) -> None:
        for seconds in (0, 0.001, 0.005, 0.02, 0.05):
            for body in (BODY, LONG, json.dumps(chat(**SPOKEN)).encode()):
                connection = Connection()
                connection.send(body)
                running = asyncio.create_task(connection.run(api))
                await asyncio.sleep(seconds)
                running.cancel()
                await asyncio.wait([running])
                await backend.free()

    with_api(cancel)


# The server itself


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", CHAT, 405)])
def test_what_is_not_there_is_refused_in_json(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_server_is_ready_while_every_stage_would_work_on_a_request() -> None:
    with served() as (client, backend):
        assert client.get("/health").status_code == 200
        assert client.get("/ready").json() == {"status": "ready"}
        backend.missing_stages = ["thinker", "token2wav"]
        refused = client.get("/ready")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert refused.json()["error"]["message"] == "not answering: thinker, token2wav"
        assert refused.headers["retry-after"]
        assert client.get("/health").status_code == 200


def test_a_server_that_is_about_to_stop_begins_nothing() -> None:
    with served() as (client, backend):
        backend.draining = True
        for refused in (post(client), client.get("/ready")):
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "draining"
            assert refused.headers["retry-after"]
        assert client.get("/health").status_code == 200


def test_metrics_are_given_as_text(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def exposition() -> str:
        return "ray_opens2s_slots 4\n"

    monkeypatch.setattr(routes, "exposition", exposition)
    response = client.get("/metrics")
    assert response.text == "ray_opens2s_slots 4\n"
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = [json.loads(record.message) for record in caplog.records if '"event": "reply"' in record.message]
    return line


@pytest.mark.parametrize("log_transcripts", [False, True])
def test_each_reply_is_one_line_in_the_log(log_transcripts: bool, caplog: pytest.LogCaptureFixture) -> None:
    with (
        served(replace(CONFIG, log_transcripts=log_transcripts)) as (client, _),
        caplog.at_level("INFO", "ray.serve"),
    ):
        client.post(CHAT, json=chat(**SPOKEN), headers={"x-request-id": "abc"})
    line = logged(caplog)
    assert (line["request_id"], line["outcome"], line["finish_reason"]) == ("abc", "completed", "stop")
    assert line["audio_s"] == pytest.approx(len(PCM) / 2 / RATE, abs=1e-3)
    assert line.get("transcript") == (TEXT if log_transcripts else None)
    assert log_transcripts or "hello" not in json.dumps(line)


@given(body=st.binary(max_size=200), path=st.sampled_from([path for method, path in ENDPOINTS if method == "POST"]))
@settings(max_examples=100)
def test_any_bytes_are_refused(fuzzed: TestClient, body: bytes, path: str) -> None:
    response = fuzzed.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400)
    if path == "/worker_generate_stream":
        assert zero_ended(response.content)[0]["error_code"] == 1
