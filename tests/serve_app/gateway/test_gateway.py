"""The endpoints over fake stages in this process."""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from opens2s_core.checkpoint.bundle import BundleInfo
from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.prompt import Message, Text
from serve_app.config import Access, Limits, ServeConfig, StageName
from serve_app.gateway import resuming
from serve_app.gateway.gateway import create_api
from tests.fakes import (
    POISON,
    REFUSED,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    Stages,
    local_stages,
    whole_reply,
)

RATE = 22_050
LIMITS = Limits(max_audio_seconds=2.0, max_messages=5, max_text_chars=100, max_tokens=64, max_body_bytes=500_000)
CONFIG = ServeConfig(bundle="unused", limits=LIMITS)
HELLO = ReplyRequest(messages=(Message("user", (Text("hello"),)),))
SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}


INFO = BundleInfo(sample_rate=RATE, units_per_second=12.5, units_per_token=3.5, voice_trained=False)


@contextmanager
def served(
    config: ServeConfig = CONFIG, losses: Sequence[tuple[StageName, int]] = (), *, draining: bool = False
) -> Iterator[TestClient]:
    stages = Stages([FakeThinker(2), FakeSpeechDecoder(2), FakeToken2Wav(2)], losses)
    stages.draining = draining
    api = create_api(config, INFO, stages)
    try:
        with TestClient(api, raise_server_exceptions=False) as made:
            yield made
    finally:
        stages.stop()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[TestClient]:
    with served() as made:
        yield made


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_PATIENCE_SECONDS", 0.2)


def sdk(client: TestClient, key: str = "none") -> openai.OpenAI:
    """The unmodified public client."""
    return openai.OpenAI(base_url="http://testserver/v1", api_key=key, http_client=client, max_retries=0)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": [{"role": "user", "content": "hello"}], **fields}


def post(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json=chat(**fields))


def sent_events(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def pcm(samples: np.ndarray) -> bytes:
    return samples.astype("<i2").tobytes()


def test_a_written_reply_whole_and_streamed(client: TestClient) -> None:
    whole = post(client).json()
    assert whole["choices"][0]["message"]["content"] == whole_reply(HELLO)[0]
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    chunks = sent_events(post(client, stream=True))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole_reply(HELLO)[0]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_a_spoken_reply_whole_and_streamed(client: TestClient) -> None:
    words, samples = whole_reply(HELLO)
    spoken = post(client, **SPOKEN).json()["choices"][0]["message"]
    assert spoken["content"] is None
    assert spoken["audio"]["transcript"] == words
    assert base64.b64decode(spoken["audio"]["data"]) == pcm(samples)

    chunks = sent_events(post(client, stream=True, stream_options={"include_usage": True}, **SPOKEN))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 4
    sounds = [c["choices"][0]["delta"]["audio"] for c in chunks[:-1] if "audio" in c["choices"][0]["delta"]]
    assert "".join(part.get("transcript", "") for part in sounds) == words
    assert b"".join(base64.b64decode(part.get("data", "")) for part in sounds) == pcm(samples)
    assert list(sounds[-1]) == ["id", "expires_at"]
    assert len({part["id"] for part in sounds}) == 1


@pytest.mark.parametrize("lost", [("thinker", 0), ("speech_decoder", 0), ("token2wav", 0)])
def test_a_stage_that_is_lost_is_not_heard(lost: tuple[StageName, int], caplog: pytest.LogCaptureFixture) -> None:
    with served(losses=[lost]) as client, caplog.at_level("INFO", "ray.serve"):
        spoken = post(client, **SPOKEN).json()["choices"][0]["message"]["audio"]
    words, samples = whole_reply(HELLO)
    assert spoken["transcript"] == words
    assert base64.b64decode(spoken["data"]) == pcm(samples)
    assert logged(caplog)["resumes"] == 1


def test_the_public_client_hears_a_reply(client: TestClient) -> None:
    chunks = list(sdk(client).chat.completions.create(**chat(stream=True, **SPOKEN)))
    audio = [chunk.choices[0].delta.audio for chunk in chunks if chunk.choices and chunk.choices[0].delta.audio]  # type: ignore[attr-defined]
    assert b"".join(base64.b64decode(getattr(part, "data", None) or "") for part in audio) == pcm(whole_reply(HELLO)[1])


def test_the_public_client_has_a_text_read_to_it(client: TestClient) -> None:
    with sdk(client).audio.speech.with_streaming_response.create(
        model="opens2s", voice="default", input="good morning", response_format="pcm"
    ) as answer:
        sound = answer.read()
    said = ReplyRequest(messages=HELLO.messages, say="good morning")
    assert sound == pcm(whole_reply(said)[1])


def test_a_reading_may_come_as_events_or_as_a_file(client: TestClient) -> None:
    body = {"model": "opens2s", "voice": "default", "input": "good morning"}
    file = client.post("/v1/audio/speech", json=body)
    assert file.headers["content-type"] == "audio/mpeg"
    assert len(file.content) > 1000
    events = client.post("/v1/audio/speech", json={**body, "response_format": "pcm", "stream_format": "sse"}).text
    told = [json.loads(line.removeprefix("data: ")) for line in events.split("\n\n") if line]
    assert {event["type"] for event in told[:-1]} == {"speech.audio.delta"}
    assert told[-1]["type"] == "speech.audio.done"


def test_the_public_client_lists_the_model(client: TestClient) -> None:
    (listed,) = sdk(client).models.list().data
    assert sdk(client).models.retrieve("opens2s").id == listed.id == "opens2s"
    with pytest.raises(openai.NotFoundError):
        sdk(client).models.retrieve("gpt")


def test_a_client_of_the_reference_is_answered_as_there(client: TestClient) -> None:
    assert client.post("/list_models").json() == {"models": ["opens2s", "omnispeech"]}
    place = client.post("/get_worker_address", json={"model": "opens2s"}).json()["address"]
    assert client.post(f"{place}/worker_get_status").json() == {
        "model_names": ["opens2s", "omnispeech"],
        "speed": 1,
        "queue_length": 0,
    }
    asked = {"model": "opens2s", "messages": [{"role": "user", "content": "hello"}], "max_new_tokens": 9}
    body = client.post(f"{place}/worker_generate_stream", json=asked).content
    assert body.endswith(b"\0")
    objects = [json.loads(part) for part in body.split(b"\0")[:-1]]
    assert objects[-1]["finalize"]
    assert objects[-1]["text"] == whole_reply(HELLO)[0]
    assert {part["error_code"] for part in objects} == {0}
    heard = b"".join(base64.b64decode(part["audio"])[44:] for part in objects if part["audio"])
    assert heard == pcm(whole_reply(HELLO)[1])


def test_a_reply_cut_by_max_tokens_says_so(client: TestClient) -> None:
    assert post(client, max_tokens=2).json()["choices"][0]["finish_reason"] == "length"


def test_what_a_stage_refuses_is_a_bad_request(client: TestClient) -> None:
    response = post(client, messages=[{"role": "user", "content": REFUSED}])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "the prompt is too long"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("short_patience")
def test_a_stage_that_fails_is_told_before_or_within_the_stream(client: TestClient) -> None:
    within = post(client, stream=True, messages=[{"role": "user", "content": POISON}])
    assert within.status_code == 200
    assert json.loads(within.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "stage_failed"
    before = post(client, stream=True)
    assert before.status_code == 503
    assert int(before.headers["retry-after"]) > 0


def test_a_client_who_leaves_while_its_body_comes_in_is_no_error() -> None:
    coming = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    answered: list[int] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    async def leave() -> None:
        with local_stages() as stages:
            api = create_api(
                CONFIG,
                INFO,
                stages,
            )
            path = "/v1/chat/completions"
            await api(
                {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}, receive, send
            )
            await stages.free()

    asyncio.run(leave())
    assert answered == [499]


def test_what_nobody_expected_is_told_within_the_stream_and_in_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resuming.Journal, "complete", property(lambda journal: 1 // 0))
    with caplog.at_level("INFO", "ray.serve"):
        last = post(client, stream=True).text.split("\n\n")[-2]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert logged(caplog)["outcome"] == "internal_error"


def test_the_body_is_measured_while_it_is_read(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", content=(b" " * 1000 for _ in range(501)))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405)])
def test_what_is_not_there_is_refused_in_json(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_model_is_listed_with_what_one_should_know_of_it(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["object"], model["sample_rate"], model["voice_trained"]) == ("model", RATE, False)
    assert "synthetic" in model["notice"]
    assert "untrained" in model["notice"]


def test_health_and_readiness_answer(client: TestClient) -> None:
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 200


def test_a_server_that_is_about_to_stop_begins_nothing() -> None:
    with served(draining=True) as client:
        for refused in (post(client), client.get("/ready")):
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "draining"
            assert refused.headers["retry-after"]
        assert client.get("/health").status_code == 200


ASKED: list[tuple[str, str]] = [
    ("POST", "/v1/chat/completions"),
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
def keyed(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("OPENS2S_API_KEYS", "one,two")
    with served(ServeConfig(bundle="unused", limits=LIMITS, access=Access(replies_per_key=1))) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_with_keys_nothing_is_answered_without_one(keyed: TestClient, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer three"}):
        refused = keyed.request(method, path, headers=headers)
        assert refused.status_code == 401
        assert "key" in refused.json()["error"]["message"]


def test_who_has_a_key_is_answered_and_probes_need_none(keyed: TestClient) -> None:
    assert sdk(keyed, "two").chat.completions.create(**chat()).choices[0].message.content
    assert keyed.get("/health").status_code == keyed.get("/ready").status_code == 200
    with pytest.raises(openai.AuthenticationError):
        sdk(keyed, "three").models.list()


def test_a_place_of_a_key_is_free_again_after_each_reply(keyed: TestClient) -> None:
    for fields in ({}, {"stream": True}, {"messages": "wrong"}, {"stream": True, **SPOKEN}, {}):
        answer = keyed.post("/v1/chat/completions", json=chat(**fields), headers={"authorization": "Bearer one"})
        assert answer.status_code in (200, 400)


def test_browsers_of_other_places_may_ask_only_where_that_was_said(client: TestClient) -> None:
    asking = {"origin": "https://there.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/chat/completions", headers=asking).headers
    config = ServeConfig(bundle="unused", access=Access(cors_origins=("https://there.example",)))
    with served(config) as open_to_it:
        allowed = open_to_it.options("/v1/chat/completions", headers=asking)
        assert allowed.headers["access-control-allow-origin"] == "https://there.example"
        other = open_to_it.options("/v1/models", headers={**asking, "origin": "https://elsewhere.example"})
        assert "access-control-allow-origin" not in other.headers


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = [json.loads(record.message) for record in caplog.records if '"event": "reply"' in record.message]
    return line


def test_each_reply_is_one_line_of_numbers_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ray.serve"):
        client.post("/v1/chat/completions", json=chat(**SPOKEN), headers={"x-request-id": "abc"})
    line = logged(caplog)
    assert (line["request_id"], line["outcome"], line["finish_reason"]) == ("abc", "completed", "stop")
    assert line["audio_s"] == pytest.approx(len(whole_reply(HELLO)[1]) / RATE, abs=1e-3)
    assert 0 < line["first_text_s"] <= line["whole_s"]
    assert "hello" not in json.dumps(line)


def test_the_words_are_in_the_log_where_that_was_said(caplog: pytest.LogCaptureFixture) -> None:
    config = ServeConfig(bundle="unused", limits=LIMITS, log_transcripts=True)
    with served(config) as client, caplog.at_level("INFO", "ray.serve"):
        post(client)
    assert logged(caplog)["transcript"] == whole_reply(HELLO)[0]


@given(body=st.binary(max_size=200), path=st.sampled_from([path for method, path in ASKED if method == "POST"]))
@settings(max_examples=100)
def test_any_bytes_are_refused(fuzzed: TestClient, body: bytes, path: str) -> None:
    assert fuzzed.post(path, content=body).status_code in (200, 400)
