"""Requests as clients send them, and the endpoints over fake stages in this process."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from opens2s_core.audio import encode_audio
from opens2s_core.checkpoint import BundleInfo
from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.prompt import Audio, Message, Spoken, Text
from serve_app.audio_codec import pcm16
from serve_app.config import Limits, ServeConfig
from serve_app.errors import ApiError
from serve_app.ingress import create_api
from serve_app.openai_api import parse_chat, reply_request
from tests.fakes import POISON, REFUSED, local_chain, whole_reply

RATE = 22_050
LIMITS = Limits(max_audio_seconds=2.0, max_messages=5, max_text_chars=100, max_tokens=64, max_body_bytes=500_000)
CONFIG = ServeConfig(bundle="unused", limits=LIMITS)


def sound(seconds: float) -> dict[str, Any]:
    wav = encode_audio(np.zeros(int(16_000 * seconds), np.float32), 16_000, container="wav")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": [{"role": "user", "content": "hello"}], **fields}


def understood(body: dict[str, Any]) -> ReplyRequest:
    return reply_request(parse_chat(json.dumps(body).encode(), model="opens2s", limits=LIMITS), LIMITS)


def refusal(body: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        understood(body)
    return refused.value


def test_a_conversation_keeps_its_order_and_its_roles() -> None:
    body = chat(
        messages=[
            {"role": "developer", "content": "be kind"},
            user(text("listen"), sound(0.5)),
            {"role": "assistant", "content": "written"},
            {"role": "assistant", "content": "said", "audio": {"id": "audio_1"}},
            user(text("and now")),
        ]
    )
    messages = understood(body).messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "assistant", "user"]
    assert isinstance(messages[1].content[1], Audio)
    assert messages[1].content[1].source.shape == (8_000,)
    assert messages[2:4] == (Message("assistant", (Text("written"),)), Message("assistant", (Spoken("said"),)))


def test_a_reply_is_greedy_unless_asked_otherwise() -> None:
    assert understood(chat()).text.temperature == 0
    asked = understood(chat(temperature=0.5, top_p=0.9, seed=7, max_completion_tokens=9, max_tokens=3)).text
    assert (asked.temperature, asked.top_p, asked.seed, asked.max_tokens) == (0.5, 0.9, 7, 9)


def test_without_a_seed_each_reply_has_its_own() -> None:
    assert understood(chat()).seed != understood(chat()).seed
    assert understood(chat(seed=-1)).seed >= 0


def test_unknown_fields_are_ignored() -> None:
    assert not understood(chat(user="me", metadata={"a": [1]}, store=False)).speak


BAD_FIELDS = [
    (chat(model="gpt"), "model"),
    (chat(model=5), "model"),
    (chat(messages=[]), "messages"),
    (chat(messages="hello"), "messages"),
    (chat(messages=[user(text("a"))] * 6), "messages"),
    (chat(messages=[5]), "messages[0]"),
    (chat(messages=[{"content": "a"}]), "messages[0].role"),
    (chat(messages=[{"role": "tool", "content": "a"}]), "messages[0].role"),
    (chat(messages=[user(text("a")), {"role": "assistant", "content": "b"}]), "messages[1].role"),
    (chat(messages=[{"role": "user"}]), "messages[0].content"),
    (chat(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    (chat(messages=[user()]), "messages[0].content"),
    (chat(messages=[user(5)]), "messages[0].content[0]"),
    (chat(messages=[user({"type": "image_url"})]), "messages[0].content[0].type"),
    (chat(messages=[user({})]), "messages[0].content[0].type"),
    (chat(messages=[user(text("a"), {"type": "text"})]), "messages[0].content[1].text"),
    (chat(messages=[user(text("a" * 101))]), "messages[0].content[0].text"),
    (chat(messages=[user({"type": "input_audio"})]), "messages[0].content[0].input_audio"),
    (
        chat(messages=[user({"type": "input_audio", "input_audio": {"format": "wav"}})]),
        "messages[0].content[0].input_audio.data",
    ),
    (
        chat(messages=[user({"type": "input_audio", "input_audio": {"data": "", "format": "aiff"}})]),
        "messages[0].content[0].input_audio.format",
    ),
    (
        chat(messages=[user({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}})]),
        "messages[0].content[0].input_audio.data",
    ),
    (chat(messages=[user(sound(0))]), "messages[0].content[0].input_audio.data"),
    (chat(messages=[user(sound(2.1))]), "messages[0].content[0].input_audio.data"),
    (chat(messages=[user(sound(1.5), sound(1.5))]), "messages[0].content[1].input_audio.data"),
    (chat(messages=[{"role": "system", "content": [sound(1)]}, user(text("a"))]), "messages[0].content[0].type"),
    (chat(messages=[{"role": "assistant", "audio": {"id": "a"}}, user(text("a"))]), "messages[0].audio.id"),
    (chat(modalities=["video"]), "modalities[0]"),
    (chat(modalities=["audio"]), "modalities"),
    (chat(modalities=[]), "modalities"),
    (chat(modalities="text"), "modalities"),
    (chat(audio={"voice": "default", "format": "aac"}), "audio.format"),
    (chat(audio={"voice": "a", "format": "mp3"}, modalities=["text", "audio"], stream=True), "audio.format"),
    (chat(stream="yes"), "stream"),
    (chat(temperature="0.5"), "temperature"),
    (chat(temperature=2.1), "temperature"),
    (chat(temperature=float("nan")), "temperature"),
    (chat(top_p=0), "top_p"),
    (chat(seed=2**64), "seed"),
    (chat(n=2), "n"),
    (chat(max_tokens=65), "max_tokens"),
    (chat(max_completion_tokens=0), "max_completion_tokens"),
    (chat(stream_options={"include_usage": 1}), "stream_options.include_usage"),
    ([], None),
    (5, None),
]


@pytest.mark.parametrize(("body", "param"), BAD_FIELDS)
def test_a_refusal_names_the_field(body: Any, param: str | None) -> None:
    error = refusal(body)
    assert error.param == param
    assert error.status == (404 if error.code == "model_not_found" else 400)


def test_a_refusal_tells_what_came_and_what_was_expected() -> None:
    assert refusal(chat(temperature=3)).message == "3: input should be less than or equal to 2"
    assert len(refusal(chat(temperature="x" * 10_000)).message) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "audio", "data", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
VALID = chat(
    messages=[{"role": "assistant", "content": "a", "audio": {"id": "b"}}, user(text("a"), sound(0.01))],
    modalities=["text", "audio"],
    audio={"voice": "default", "format": "wav"},
    stream_options={"include_usage": True},
    **dict.fromkeys(["stream", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "n"]),
)


def places(value: Any) -> Iterator[list[Any]]:
    """The path to every value inside ``value``, itself included."""
    yield []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from ([key, *path] for path in places(inner))


def replaced(value: Any, path: list[Any], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@contextmanager
def served() -> Iterator[TestClient]:
    with local_chain(capacity=2) as stages:
        api = create_api(CONFIG, BundleInfo(RATE, voice_trained=False), stages)
        with TestClient(api, raise_server_exceptions=False) as made:
            yield made


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[TestClient]:
    with served() as made:
        yield made


@given(path=st.sampled_from(list(places(VALID))), value=json_values)
@settings(max_examples=300)
def test_any_json_anywhere_is_understood_or_refused(fuzzed: TestClient, path: list[Any], value: Any) -> None:
    body = json.dumps(replaced(VALID, path, value)).encode()
    response = fuzzed.post("/v1/chat/completions", content=body)
    assert response.status_code == 200 or 400 <= response.status_code < 500
    assert "error" in response.json() or response.status_code == 200


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse_chat(body, model="opens2s", limits=LIMITS)
    assert refused.value.status == 400


def post(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json=chat(**fields))


def sent_events(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


HELLO = ReplyRequest(messages=(Message("user", (Text("hello"),)),))


def test_a_written_reply_whole_and_streamed(client: TestClient) -> None:
    whole = post(client).json()
    assert whole["choices"][0]["message"]["content"] == whole_reply(HELLO)[0]
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    chunks = sent_events(post(client, stream=True))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole_reply(HELLO)[0]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_a_spoken_reply_whole_and_streamed(client: TestClient) -> None:
    asked = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
    words, samples = whole_reply(HELLO)
    spoken = post(client, **asked).json()["choices"][0]["message"]
    assert spoken["content"] is None
    assert spoken["audio"]["transcript"] == words
    assert base64.b64decode(spoken["audio"]["data"]) == pcm16(samples)

    chunks = sent_events(post(client, stream=True, stream_options={"include_usage": True}, **asked))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 4
    sounds = [c["choices"][0]["delta"]["audio"] for c in chunks[:-1] if "audio" in c["choices"][0]["delta"]]
    assert "".join(part.get("transcript", "") for part in sounds) == words
    assert b"".join(base64.b64decode(part.get("data", "")) for part in sounds) == pcm16(samples)
    assert list(sounds[-1]) == ["id", "expires_at"]
    assert len({part["id"] for part in sounds}) == 1


def test_a_reply_cut_by_max_tokens_says_so(client: TestClient) -> None:
    assert post(client, max_tokens=2).json()["choices"][0]["finish_reason"] == "length"


def test_what_a_stage_refuses_is_a_bad_request(client: TestClient) -> None:
    response = post(client, messages=[user(text(REFUSED))])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "the prompt is too long"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stage_that_fails_is_told_before_or_within_the_stream(client: TestClient) -> None:
    within = post(client, stream=True, messages=[user(text(POISON))])
    assert within.status_code == 200
    assert json.loads(within.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "stage_failed"
    before = post(client, stream=True)
    assert before.status_code == 503
    assert int(before.headers["retry-after"]) > 0


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
    assert (model["id"], model["object"], model["sample_rate"], model["voice_trained"]) == (
        "opens2s",
        "model",
        RATE,
        False,
    )
    assert "synthetic" in model["notice"]
    assert "untrained" in model["notice"]


def test_health_and_readiness_answer(client: TestClient) -> None:
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 200
