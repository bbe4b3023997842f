"""Authentication over HTTP, and what each client may refer to."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from serve_app.config import Access
from tests.fakes import (
    FakeThinker,
)
from tests.serve_app.gateway.served import (
    CHAT,
    CONFIG,
    ENDPOINTS,
    SPOKEN,
    TEXT,
    chat,
    logged,
    sdk,
    sent_events,
    served,
    zero_ended,
)

BODY = json.dumps(chat()).encode()
LONG = json.dumps(chat(stream=True, messages=[{"role": "user", "content": "word " * 300}], **SPOKEN)).encode()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("OPENS2S_API_KEYS", "one,two")
    with served(per_client=1) as (client, _):
        yield client


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
def test_a_body_that_needs_no_cors_preflight_is_refused(
    client: TestClient, path: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    refused = client.post(path, content=BODY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), [one for one in ENDPOINTS if one[1] != "/worker_generate_stream"])
def test_pages_of_other_origins_are_refused(client: TestClient, method: str, path: str) -> None:
    for origin in ("https://elsewhere.example", "null", "http://["):
        refused = client.request(method, path, headers={"origin": origin})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")


def test_pages_of_this_server_and_of_allowed_origins_are_accepted(client: TestClient) -> None:
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
