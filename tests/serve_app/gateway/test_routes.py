"""The endpoints over fake stages."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serve_app.api.spoken_text import split_text
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
    reply_request,
    whole_reply,
)
from tests.serve_app.gateway.served import (
    CHAT,
    CONFIG,
    ENDPOINTS,
    PCM,
    RATE,
    SPOKEN,
    TEXT,
    TRANSCRIPTIONS,
    chat,
    logged,
    pcm,
    post,
    sdk,
    sent_events,
    served,
    zero_ended,
)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


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
    assert audio == pcm(whole_reply(replace(reply_request(), reply_text="good morning"))[1])


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


def test_an_error_after_the_start_is_an_event_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))
    with served() as (client, _):
        response = post(client, stream=True, messages=[{"role": "user", "content": POISON}])
        assert response.status_code == 200
        error = json.loads(response.text.split("\n\n")[-2].removeprefix("data: "))["error"]
        assert error["code"] == "reply_failed"
        assert post(client, stream=True).status_code == 500, "the engine stays broken here"


def test_an_unexpected_error_is_an_internal_error_and_in_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reply_module.Reply, "_emit", lambda self, message: 1 // 0)
    with caplog.at_level("INFO", "ray.serve"):
        response = post(client, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert logged(caplog)["outcome"] == "internal_error"


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


def test_a_draining_server_refuses_requests() -> None:
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
    content_type = "multipart/form-data; boundary=b" if path == TRANSCRIPTIONS else "application/json"
    response = fuzzed.post(path, content=body, headers={"content-type": content_type})
    assert response.status_code in (200, 400)
    if path == "/worker_generate_stream":
        assert zero_ended(response.content)[0]["error_code"] == 1
