"""``POST /v1/audio/transcriptions`` over fake stages."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from openai.types.audio import TranscriptionVerbose
from starlette.testclient import TestClient

from tests.fakes import FakeSpeechDecoder, FakeThinker, FakeToken2Wav, LocalBackend
from tests.serve_app.api.forms import flac, form
from tests.serve_app.gateway.served import (
    CONFIG,
    INFO,
    LIMITS,
    TRANSCRIPTIONS,
    AsgiRequest,
    logged,
    sdk,
    served,
    with_api,
)

CLIP = ("clip.flac", flac(0.5))
TRANSCRIPT = "you said Transcribe: <8000> "
"""The fake thinker repeats what it reads: the prompt of the checkpoint and the samples of the clip."""


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served() as (client, _):
        yield client


def transcribe(client: TestClient, **fields: Any) -> Any:
    return sdk(client).audio.transcriptions.create(**{"model": "opens2s", "file": CLIP, **fields})


def test_the_public_client_gets_a_transcript_in_each_format(client: TestClient) -> None:
    whole = transcribe(client, language="en", temperature=0.0)
    assert whole.text == TRANSCRIPT
    assert (whole.usage.type, whole.usage.total_tokens) == ("tokens", 5)
    assert transcribe(client, response_format="text") == TRANSCRIPT
    verbose = transcribe(client, response_format="verbose_json", language="zh")
    assert isinstance(verbose, TranscriptionVerbose)
    assert (verbose.text, verbose.duration, verbose.language) == (TRANSCRIPT, 0.5, "zh")


def test_the_public_client_streams_a_transcript(client: TestClient) -> None:
    *deltas, done = transcribe(client, stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == done.text == TRANSCRIPT
    assert len(deltas) > 1
    assert (done.type, done.usage.output_tokens) == ("transcript.text.done", 4)


def test_only_the_thinker_works_on_a_transcript() -> None:
    with served() as (client, backend):
        transcribe(client)
        opened = {name: len(stage.connections) for name, stage in backend.clients.items()}
    assert opened == {"thinker": 1, "speech_decoder": 0, "token2wav": 0}


def test_a_lost_stage_does_not_show_in_the_transcript(caplog: pytest.LogCaptureFixture) -> None:
    with served(losses=[("thinker", 2)]) as (client, _), caplog.at_level("INFO", "ray.serve"):
        assert transcribe(client).text == TRANSCRIPT
    line = logged(caplog)
    assert (line["outcome"], line["resumes"], line["audio_s"]) == ("completed", 1, 0)


def test_a_prompt_of_the_client_reaches_the_model(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> None:
    asked: list[Any] = []
    thinker_open = FakeThinker.open
    monkeypatch.setattr(
        FakeThinker,
        "open",
        lambda self, request, record=None: asked.append(request) or thinker_open(self, request, record),
    )
    transcribe(client, prompt="Names: Ada.")
    assert [message.role for message in asked[0].messages] == ["system", "user"]
    assert asked[0].messages[0].content[0].text == "Names: Ada."


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "whisper-1"}, "model"),
        ({"file": ("clip.wav", b"")}, "file"),
        ({"file": ("clip.wav", b"no audio")}, "file"),
        ({"file": ("clip.flac", flac(2.5))}, "file"),
        ({"response_format": "srt"}, "response_format"),
        ({"timestamp_granularities": ["word"], "response_format": "verbose_json"}, "timestamp_granularities"),
        ({"include": ["logprobs"]}, "include"),
        ({"prompt": "word " * 500}, "prompt"),
        ({"temperature": 7.0}, "temperature"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_input_is_refused_by_name(client: TestClient, stream: bool, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        transcribe(client, stream=stream, **fields)
    assert refused.value.status_code in (400, 404)
    assert refused.value.param == param


def test_a_checkpoint_that_was_not_trained_to_transcribe_says_so_before_the_body_is_read() -> None:
    with served(info=replace(INFO, transcription_prompt="")) as (client, _):
        with pytest.raises(openai.NotFoundError, match="was not trained to transcribe") as refused:
            transcribe(client)
        assert (refused.value.code, refused.value.param) == ("model_not_supported", "model")
        large = client.post(TRANSCRIPTIONS, files={"file": b"x" * 2 * LIMITS.max_body_bytes})
        assert large.json()["error"]["code"] == "model_not_supported"
        assert client.get("/v1/models").json()["data"][0]["transcribes"] is False


def test_the_model_says_that_it_transcribes(client: TestClient) -> None:
    assert client.get("/v1/models").json()["data"][0]["transcribes"] is True


def test_limits_of_bodies_hold_for_forms(client: TestClient) -> None:
    large = client.post(TRANSCRIPTIONS, files={"file": b"x" * (LIMITS.max_body_bytes + 1)})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    json_body = client.post(TRANSCRIPTIONS, json={"model": "opens2s"})
    assert (json_body.status_code, json_body.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_form_of_a_foreign_page_is_refused(client: TestClient) -> None:
    answer = client.post(TRANSCRIPTIONS, files={"file": CLIP[1]}, headers={"origin": "https://example.org"})
    assert answer.status_code == 403


def test_an_error_after_the_start_is_an_event_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.gateway.resume._PAUSES", (0.0,))
    with served(info=replace(INFO, transcription_prompt="poison")) as (client, _):
        with pytest.raises(openai.APIError) as failed:
            list(transcribe(client, stream=True))
        assert failed.value.code == "reply_failed"


def test_a_client_that_leaves_frees_its_slots() -> None:
    info = replace(INFO, transcription_prompt="word " * 200)
    # Long enough for 64 words, each of which takes a while.
    body, content_type = form({"model": "opens2s", "stream": "true"}, [("file", CLIP)])

    async def leave(api: FastAPI, backend: LocalBackend) -> None:
        request = AsgiRequest(TRANSCRIPTIONS, {"content-type": content_type})
        request.send(body)
        running = asyncio.create_task(request.run(api))
        while request.body.count(b"data: ") <= 3:
            await asyncio.sleep(0.005)
        request.leave()
        await running
        await backend.free()
        assert b"transcript.text.done" not in request.body

    engines = [FakeThinker(2, step_seconds=0.05), FakeSpeechDecoder(2), FakeToken2Wav(2)]
    with_api(leave, engines=engines, info=info)


def test_a_transcript_that_was_cut_says_so() -> None:
    with served(info=replace(INFO, transcription_prompt="word " * 70)) as (client, _):
        body, content_type = form({"model": "opens2s"}, [("file", CLIP)])
        answer = client.post(TRANSCRIPTIONS, content=body, headers={"content-type": content_type})
    assert json.loads(answer.content)["finish_reason"] == "length"
    assert CONFIG.limits.max_tokens == 64
