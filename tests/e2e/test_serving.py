"""A client's view of the served platform, through the unmodified ``openai`` package."""

import base64
import io
import itertools
import json
import secrets
import time
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from ray import cloudpickle, serve

from data_pipeline.steps.tokenise import TRANSCRIBE
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.recognisers.openai_transcriptions import OpenAITranscriptions, OpenAITranscriptionsConfig
from opens2s_core.audio import encode_audio
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.prompt import Audio, Message, Text, read_aloud
from serve_app.api.audio_input import decode_input
from serve_app.api.chat_request import chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.app import build_app
from serve_app.config import Limits
from tests import fakes
from tests.e2e.replicas import wait_until
from tests.e2e.small_service import CAPACITY, serve_config
from tests.fakes import POISON, build_fake_engine

pytestmark = pytest.mark.ray

MODEL = "opens2s"
SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
TOKENS = 6


def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def noise(seconds: float = 1.0) -> str:
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000)).astype(np.float32)
    return base64.b64encode(encode_audio(samples, 16_000, container="wav")).decode()


def spoken(data: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]}]


def written(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def asked(seed: int, **fields: Any) -> dict[str, Any]:
    """A spoken reply to one second of noise, another for each seed."""
    request = {"model": MODEL, "messages": spoken(noise()), "max_tokens": TOKENS, "temperature": 1.0, "seed": seed}
    return {**request, **SPOKEN, **fields}


NO_END: dict[str, float] = {}
"""A bias against the tokens that end a reply."""


@pytest.fixture(scope="module", autouse=True)
def _end_tokens(tiny_bundle: Path) -> None:
    settings = json.loads((tiny_bundle / "opens2s" / "generation_config.json").read_text())
    NO_END.update({str(token): -100.0 for token in settings["eos_token_id"]})


def endless(seed: int) -> dict[str, Any]:
    """A reply that lasts for many seconds."""
    return asked(seed, max_tokens=2048, logit_bias=NO_END, stream=True)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def audio_of(chunks: list[Any]) -> list[dict[str, Any]]:
    deltas = (chunk.choices[0].delta for chunk in chunks if chunk.choices)
    return [delta.audio.to_dict() for delta in deltas if delta.audio]


def transcript_of(deltas: list[dict[str, Any]]) -> str:
    return "".join(delta.get("transcript", "") for delta in deltas)


def audio_of_deltas(deltas: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(delta.get("data", "")) for delta in deltas)


Alone = Callable[[int], tuple[str, bytes]]


@pytest.fixture(scope="module")
def alone(tiny_bundle: Path) -> Alone:
    """The oracle: text and pcm16 of the reply to ``asked(seed)`` from the same engines without Ray."""
    pipeline = Pipeline.load(tiny_bundle)
    info = read_bundle_info(str(tiny_bundle))
    context = ApiContext(model=MODEL, limits=Limits(), units_per_token=info.units_per_token)

    @cache
    def reply(seed: int) -> tuple[str, bytes]:
        chat = parse_chat(json.dumps(asked(seed)).encode(), context)
        messages = list(pipeline.reply(chat_reply_request(chat, context)))
        samples = [message.samples for message in messages if isinstance(message, AudioChunk)]
        return reply_text(messages), np.concatenate(samples).astype("<i2").tobytes()

    return reply


def samples_in(pcm: bytes) -> NDArray[np.int64]:
    return np.frombuffer(pcm, "<i2").astype(np.int64)


def assert_same_audio(ours: bytes, theirs: bytes) -> None:
    """Equal but for the rounding of float sums, which other batches and thread counts order otherwise."""
    np.testing.assert_allclose(samples_in(ours), samples_in(theirs), rtol=0, atol=4)


def test_a_whole_spoken_reply_is_that_of_the_engines(served: str, alone: Alone) -> None:
    reply = client(served).chat.completions.create(**asked(0))
    audio = reply.choices[0].message.audio
    assert audio is not None
    assert audio.transcript == alone(0)[0]
    assert_same_audio(base64.b64decode(audio.data), alone(0)[1])
    assert reply.usage is not None
    assert reply.usage.completion_tokens <= TOKENS


@pytest.mark.parametrize(("audio_format", "header_bytes"), [("pcm16", 0), ("wav", 44)])
def test_a_streamed_spoken_reply_is_that_of_the_engines(
    served: str, alone: Alone, audio_format: str, header_bytes: int
) -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    audio = {"voice": "default", "format": audio_format}
    chunks = list(client(served).chat.completions.create(**asked(0, audio=audio, **fields)))
    deltas = audio_of(chunks)
    assert transcript_of(deltas) == alone(0)[0]
    assert_same_audio(audio_of_deltas(deltas)[header_bytes:], alone(0)[1])
    assert "expires_at" in deltas[-1]
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert chunks[-1].usage.completion_tokens <= TOKENS


def test_audio_is_streamed_in_chunks_and_text_does_not_wait_for_it(served: str) -> None:
    deltas = audio_of(list(client(served).chat.completions.create(**asked(1, stream=True))))  # a longer one
    assert sum("data" in delta for delta in deltas) > 2
    assert "transcript" in deltas[0]


def test_a_whole_wav_plays_at_the_rate_of_the_model(served: str) -> None:
    reply = client(served).chat.completions.create(**asked(0, audio={"voice": "default", "format": "wav"}))
    (listed,) = client(served).models.list().data
    with wave.open(io.BytesIO(base64.b64decode(reply.choices[0].message.audio.data))) as file:
        assert file.getframerate() == listed.sample_rate  # type: ignore[attr-defined]
        assert file.getnframes() > 0


def test_a_written_reply_is_the_same_whole_and_streamed(served: str) -> None:
    fields = asked(0, modalities=["text"])
    whole = client(served).chat.completions.create(**fields).choices[0].message
    chunks = list(client(served).chat.completions.create(**fields, stream=True))
    assert whole.audio is None
    assert text_of(chunks) == whole.content
    assert audio_of(chunks) == []


def test_clients_at_once_get_what_each_would_get_alone(served: str, alone: Alone) -> None:
    def call(seed: int) -> list[dict[str, Any]]:
        return audio_of(list(client(served).chat.completions.create(**asked(seed, stream=True))))

    seeds = range(2 * CAPACITY)
    with ThreadPoolExecutor(len(seeds)) as pool:
        replies = list(pool.map(call, seeds))
    for seed, deltas in zip(seeds, replies, strict=True):
        assert transcript_of(deltas) == alone(seed)[0]
        assert_same_audio(audio_of_deltas(deltas), alone(seed)[1])


BAD = [
    ({"model": "gpt-4o"}, 404, "model"),
    ({"messages": []}, 400, "messages"),
    ({"messages": spoken("not base64!")}, 400, "messages[0].content[0].input_audio.data"),
    ({"messages": spoken(base64.b64encode(b"no sound").decode())}, 400, "messages[0].content[0].input_audio.data"),
    ({"messages": spoken("")}, 400, "messages[0].content[0].input_audio.data"),
    ({"messages": spoken(noise(21))}, 400, "messages[0].content[0].input_audio.data"),
    ({"audio": {"voice": "default", "format": "aiff"}}, 400, "audio.format"),
    ({"modalities": ["video"]}, 400, "modalities[0]"),
    ({"messages": written("word " * 6_000)}, 400, "messages"),
    ({"messages": spoken("A" * 3 * 2**20)}, 413, None),
]


@pytest.mark.parametrize(("fields", "status", "param"), BAD)
def test_bad_input_is_refused_by_name(served: str, fields: Any, status: int, param: str | None) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client(served).chat.completions.create(**{"model": MODEL, "messages": written("a"), **fields})
    assert refused.value.status_code == status
    assert refused.value.param == param
    assert "Traceback" not in refused.value.message


def test_clients_that_leave_free_their_slots(served: str) -> None:
    for _ in range(3):
        streams = [client(served).chat.completions.create(**endless(n)) for n in range(4)]
        for stream in streams:
            assert audio_of([next(stream) for _ in range(4)])
        for stream in streams:
            stream.close()
        left = time.monotonic()
        client(served).chat.completions.create(**asked(0, max_tokens=1))
        assert time.monotonic() - left < 3


def test_clients_that_disconnect_during_a_whole_reply_free_their_slots(served: str) -> None:
    def disconnect(n: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served}/v1/chat/completions", json={**endless(n), "stream": False}, timeout=0.5)

    with ThreadPoolExecutor(CAPACITY) as pool:
        list(pool.map(disconnect, range(CAPACITY)))
    left = time.monotonic()
    client(served).chat.completions.create(**asked(0, max_tokens=1))
    assert time.monotonic() - left < 3


def test_a_client_too_many_is_refused_with_retry_after(served: str) -> None:
    speaking = [client(served).chat.completions.create(**endless(n)) for n in range(4)]

    def call(n: int) -> httpx.Response:
        return httpx.post(f"{served}/v1/chat/completions", json=asked(n, max_tokens=1), timeout=60)

    with ThreadPoolExecutor(3 * CAPACITY) as pool:
        calls = [pool.submit(call, n) for n in range(3 * CAPACITY)]
        while sum(call.done() for call in calls) < CAPACITY:
            time.sleep(0.05)
        refused = [call.result() for call in calls if call.done()]
        for stream in speaking:
            stream.close()
        answers = [call.result().status_code for call in calls]
    assert sorted(answers) == [200] * 2 * CAPACITY + [503] * CAPACITY
    for response in refused:
        assert response.json()["error"]["code"] == "overloaded"
        assert int(response.headers["retry-after"]) > 0


def test_each_reply_has_a_request_id(served: str) -> None:
    name = secrets.token_hex(8)
    body = asked(0, max_tokens=1, modalities=["text"])
    named = httpx.post(f"{served}/v1/chat/completions", json=body, headers={"x-request-id": name})
    assert named.headers["x-request-id"] == name
    assert httpx.get(f"{served}/health").headers["x-request-id"]


def test_health_and_readiness_answer(served: str) -> None:
    assert httpx.get(f"{served}/health").status_code == 200
    assert httpx.get(f"{served}/ready", timeout=30).json() == {"status": "ready"}


@pytest.mark.parametrize("audio_format", ["flac", "mp3", "opus"])
def test_compressed_audio_streams_too(served: str, audio_format: str) -> None:
    audio = {"voice": "default", "format": audio_format}
    deltas = audio_of(list(client(served).chat.completions.create(**asked(0, audio=audio, stream=True))))
    samples = decode_input(base64.b64encode(audio_of_deltas(deltas)).decode(), max_seconds=60)
    whole = base64.b64decode(client(served).chat.completions.create(**asked(0)).choices[0].message.audio.data)
    seconds = len(whole) / 2 / 22_050
    assert abs(len(samples) / 16_000 - seconds) < 0.2


def test_a_text_is_read_word_for_word_and_not_answered(served: str, tiny_bundle: Path) -> None:
    text = "I would go for a walk first."
    with client(served).audio.speech.with_streaming_response.create(
        model=MODEL, voice="default", input=text, response_format="pcm", extra_body={"seed": 5}
    ) as answer:
        pcm = answer.read()
    assert len(pcm) > 22_050
    request = ReplyRequest(messages=read_aloud(text), reply_text=text, text=Sampling(max_tokens=100))
    assert reply_text(list(Pipeline.load(tiny_bundle).reply(request))) == text


def test_a_transcript_is_what_the_model_writes_after_its_prompt_and_the_clip(served: str, tiny_bundle: Path) -> None:
    speech = Speech(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    file = encode_audio(speech.samples, speech.rate)
    clip = decode_input(base64.b64encode(file).decode(), max_seconds=20)
    message = Message("user", (Text(TRANSCRIBE), Audio(clip)))
    request = ReplyRequest(messages=(message,), speak=False, text=Sampling(max_tokens=64))
    expected = reply_text(list(Pipeline.load(tiny_bundle).reply(request)))
    assert expected

    create = client(served).audio.transcriptions.create
    assert create(model=MODEL, file=("clip.flac", file)).text == expected
    *deltas, done = create(model=MODEL, file=("clip.flac", file), stream=True)
    assert "".join(event.delta for event in deltas) == done.text == expected  # type: ignore[union-attr]
    recogniser = OpenAITranscriptions(OpenAITranscriptionsConfig(base_url=f"{served}/v1", model=MODEL))
    assert recogniser.transcribe(speech, "en") == expected
    with pytest.raises(openai.BadRequestError) as refused:
        create(model=MODEL, file=("clip.flac", b"no audio"))
    assert refused.value.param == "file"


def test_a_client_of_the_reference_gets_a_spoken_reply(served: str, alone: Alone) -> None:
    assert httpx.post(f"{served}/worker_get_status").json()["model_names"] == [MODEL, "omnispeech"]
    words = {"role": "user", "content": [{"text": "", "audio": noise()}]}
    asks = {"model": MODEL, "messages": [words], "temperature": 0.0, "top_p": 1.0, "max_new_tokens": TOKENS}
    parts, rest = [], b""
    with httpx.stream("POST", f"{served}/worker_generate_stream", json=asks, timeout=60) as answer:
        for data in answer.iter_raw():
            *whole, rest = (rest + data).split(b"\0")
            parts += [json.loads(part) for part in whole]
    assert rest == b""
    assert [part["finalize"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert {part["error_code"] for part in parts} == {0}
    assert all(later["text"].startswith(sooner["text"]) for sooner, later in itertools.pairwise(parts))
    with wave.open(io.BytesIO(base64.b64decode(next(part["audio"] for part in parts if part["audio"])))) as file:
        assert (file.getframerate(), file.getsampwidth()) == (22_050, 2)


def test_prometheus_is_given_replies_and_slots(served: str) -> None:
    client(served).chat.completions.create(**asked(0))
    names = ("time_to_first_audio_seconds_count", "replies_total", "slots_used", "transfer_seconds_sum")

    def reported() -> bool:
        page = httpx.get(f"{served}/metrics", timeout=30).text
        return all(f"\nray_opens2s_{name}" in page for name in names)

    wait_until("Ray's report", reported, seconds=40)


@pytest.mark.slow
def test_a_failed_engine_is_reported_and_replaced(serve_port: int, tiny_bundle: Path) -> None:
    cloudpickle.register_pickle_by_value(fakes)  # replicas cannot import what lies among the tests
    serve.run(build_app(serve_config(tiny_bundle), build_fake_engine), name="fake", route_prefix="/fake")
    address = f"http://127.0.0.1:{serve_port}/fake"
    with pytest.raises(openai.APIError) as raised:
        list(client(address).chat.completions.create(model=MODEL, messages=written(POISON), stream=True))
    assert raised.value.code == "reply_failed"  # it broke three engines, of which it may be the cause
    deadline = time.monotonic() + 60
    ask = {"model": MODEL, "messages": written("are you there")}
    while httpx.post(f"{address}/v1/chat/completions", json=ask, timeout=30).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    serve.delete("fake")
