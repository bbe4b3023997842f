"""The published server's protocol: requests, the stream of objects, the small bodies."""

import base64
import io
import json
import wave
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import encode_audio
from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, TextDelta
from opens2s_core.prompt import Audio, Spoken, Text
from serve_app.api.context import ApiContext
from serve_app.api.reference_worker import (
    list_models,
    parse_reference,
    reference_error,
    reference_reply_request,
    reference_stream,
    worker_address,
    worker_status,
)
from serve_app.config import Limits
from serve_app.errors import ApiError
from tests.serve_app.fake_reply import (
    FAILURE,
    RATE,
    FakeReply,
    collect,
    parse_with,
    refusal_by,
    spoken_reply,
    status_by,
    text_reply,
    tone,
)

LIMITS = Limits(max_audio_seconds=2.0, max_messages=3, max_text_chars=100, max_tokens=64)
AUDIO = tone(1.0)


def audio_file(seconds: float, container: str = "wav") -> str:
    file = encode_audio(np.zeros(int(16_000 * seconds), np.float32), 16_000, container=container)
    return base64.b64encode(file).decode()


def message(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content[0] if len(content) == 1 else list(content)}


def request(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": list(messages) or [message("hello")], **fields}


CONTEXT = ApiContext(model="opens2s", limits=LIMITS, units_per_token=3.5)


def read(body: bytes) -> ReplyRequest:
    return reference_reply_request(parse_reference(body, CONTEXT), CONTEXT)


requested = partial(parse_with, read)
refusal = partial(refusal_by, read)
status = partial(status_by, read)


@pytest.mark.parametrize("content", ["hello", {"text": "hello"}, [{"text": "hello"}], ["hello"]])
def test_content_may_be_bare_or_an_object_or_a_list(content: Any) -> None:
    assert requested(request(message(content))).messages[0].content == (Text("hello"),)


@pytest.mark.parametrize("container", ["wav", "flac", "mp3"])
def test_audio_may_be_alone_or_beside_text(container: str) -> None:
    audio = audio_file(0.5, container)
    parsed = requested(request(message({"audio": audio, "text": "", "speech_units": "", "spk_emb": None})))
    assert [type(item) for item in parsed.messages[0].content] == [Audio]
    both = requested(request(message({"text": "listen", "audio": audio}, {"text": "and tell"}))).messages[0].content
    assert [type(item) for item in both] == [Text, Audio, Text]


def test_a_reply_that_is_sent_back_is_its_text() -> None:
    past = requested(
        request(
            message("kindly", role="system"),
            message({"text": "I see", "audio": audio_file(0.5)}, role="assistant"),
            message("go on"),
        )
    )
    assert [past_message.role for past_message in past.messages] == ["system", "assistant", "user"]
    assert past.messages[1].content == (Spoken("I see"),)


def test_a_reply_is_spoken_and_its_text_greedy_by_default() -> None:
    plain = requested({"messages": [message("hello")], "temperature": None})
    assert plain.speak
    assert plain.audio.samples == "int16"
    assert (plain.text.temperature, plain.text.top_p) == (0, 1)
    sampled = requested(request(temperature=0.5, top_p=0.9, max_new_tokens=9)).text
    assert (sampled.temperature, sampled.top_p, sampled.max_tokens) == (0.5, 0.9, 9)


REFUSED: list[tuple[Any, str | None]] = [
    (request(model="gpt"), "model"),
    ({"model": "opens2s"}, "messages"),
    (request(messages=[]), "messages"),
    (request(*[message("a")] * 4), "messages"),
    (request(message("a"), message("b", role="assistant")), "messages[1].role"),
    (request(message("a", role="tool")), "messages[0].role"),
    (request({"role": "user"}), "messages[0].content"),
    (request(message("")), "messages[0].content"),
    (request(message(" \n\x07")), "messages[0].content"),
    (request(message({"text": "\u200b"}, " ")), "messages[0].content"),
    (request(message(" "), message("a", role="assistant"), message("b")), "messages[0].content"),
    (request(message(5)), "messages[0].content"),
    (request(message({})), "messages[0].content"),
    (request(message({"text": "", "audio": None})), "messages[0].content"),
    (request(message({"text": 5})), "messages[0].content.text"),
    (request(message({"text": "a"}, 5)), "messages[0].content[1]"),
    (request(message({"text": "a"}, {"text": "\0"})), "messages[0].content[1].text"),
    (request(message("a" * 101)), "messages[0].content"),
    (request(message({"text": "a" * 101})), "messages[0].content.text"),
    (request(message({"audio": "?"})), "messages[0].content.audio"),
    (request(message({"audio": audio_file(2.1)})), "messages[0].content.audio"),
    (request(message({"audio": audio_file(1.5)}, {"audio": audio_file(1.5)})), "messages[0].content[1].audio"),
    (request(message({"audio": audio_file(0.1)}, role="system"), message("a")), "messages[0].content.audio"),
    (request(message({"audio": audio_file(0.1)}, role="assistant"), message("a")), "messages[0].content.audio"),
    (request(temperature=-1), "temperature"),
    (request(temperature=float("nan")), "temperature"),
    (request(top_p=0), "top_p"),
    (request(max_new_tokens=0), "max_new_tokens"),
    (request(max_new_tokens=True), "max_new_tokens"),
    ([], None),
    (b"", None),
    (b"[" * 10_000, None),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
def test_a_refusal_names_the_field(body: Any, param: str | None) -> None:
    error = refusal(body)
    assert error.param == param
    assert error.status == (404 if error.code == "model_not_found" else 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "audio"]), inner, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from(["user", "assistant", "system"]), json_values)
@settings(max_examples=200, deadline=None)
def test_any_content_is_accepted_or_refused(role: str, content: Any) -> None:
    assert status(request({"role": role, "content": content}, message("a"))) in (200, 400)


def objects(reply: FakeReply) -> Iterator[dict[str, Any]]:
    stream = b"".join(collect(reference_stream(reply, RATE)))
    assert stream.endswith(b"\0")
    for chunk in stream[:-1].split(b"\0"):
        fields = json.loads(chunk)
        assert list(fields) == ["text", "audio", "finalize", "error_code"]
        yield fields


def decode(audio: str) -> np.ndarray:
    if not audio:
        return np.zeros(0, np.int16)
    with wave.open(io.BytesIO(base64.b64decode(audio))) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_each_object_has_all_text_and_the_new_audio() -> None:
    sent = list(objects(FakeReply(*spoken_reply("hello ", "you", audio=AUDIO))))
    assert [part["text"] for part in sent] == ["hello ", *["hello you"] * 5]
    assert [bool(part["audio"]) for part in sent] == [False, False, True, True, True, False]
    assert np.array_equal(np.concatenate([decode(part["audio"]) for part in sent]), AUDIO)
    assert [part["finalize"] for part in sent] == [False] * 5 + [True]
    assert {part["error_code"] for part in sent} == {0}


def test_the_last_object_is_final_though_the_text_ends_last() -> None:
    sent = list(objects(FakeReply(TextDelta("hm"), AudioChunk(AUDIO, final=True), Finish("stop", 1, 1))))
    assert [part["finalize"] for part in sent] == [False, False, True]


def test_text_may_hold_any_character() -> None:
    (first, *_) = objects(FakeReply(*text_reply("a\0\u2028é")))
    assert first["text"] == "a\0\u2028é"


def test_a_reply_that_fails_ends_with_an_error_object() -> None:
    *_, last = objects(FakeReply(TextDelta("he"), failure=FAILURE))
    assert last == {"text": FAILURE.message, "audio": "", "finalize": True, "error_code": 1}


def test_a_reply_without_audio_ends_with_some_silence() -> None:
    sent = list(objects(FakeReply(*text_reply("hm"), AudioChunk(np.zeros(0, np.int16), final=True))))
    assert [bool(part["audio"]) for part in sent] == [False, True]
    assert not decode(sent[-1]["audio"]).any()


def test_an_error_before_the_stream_is_an_object_too() -> None:
    body = reference_error(refusal(request(model="gpt")))
    assert body.endswith(b"\0")
    assert json.loads(body[:-1]) == {
        "text": "model: model 'gpt' does not exist: expected 'opens2s'",
        "audio": "",
        "finalize": True,
        "error_code": 1,
    }


@pytest.mark.parametrize("model", ["omnispeech", "opens2s", None])
def test_the_model_may_have_the_name_that_the_web_page_sends(model: str | None) -> None:
    assert requested(request(model=model)).messages == requested(request()).messages


@pytest.mark.parametrize(("asked", "used"), [(512, 64), (9.0, 9), (1e300, 64), (None, 64)])
def test_a_number_of_tokens_that_is_too_large_is_lowered(asked: float | None, used: int) -> None:
    assert requested(request(max_new_tokens=asked)).text.max_tokens == used


def test_units_are_sampled_with_the_seed_of_the_text() -> None:
    parsed = requested(request())
    assert (parsed.units.temperature, parsed.units.seed) == (1, parsed.text.seed)


def test_models_are_listed_by_both_names() -> None:
    names = ["opens2s", "omnispeech"]
    assert worker_status(CONTEXT, 3) == {"model_names": names, "speed": 1, "queue_length": 3}
    assert list_models(CONTEXT) == {"models": names}
    addresses = [
        worker_address(json.dumps({"model": name}).encode(), CONTEXT, "http://here") for name in (*names, "gpt")
    ]
    assert addresses == [{"address": "http://here"}, {"address": "http://here"}, {"address": ""}]
    with pytest.raises(ApiError):
        worker_address(b"{}", CONTEXT, "http://here")
