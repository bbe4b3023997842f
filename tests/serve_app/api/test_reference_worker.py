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
from opens2s_core.inference.messages import AudioChunk, Finish, TextDelta
from opens2s_core.prompt import Audio, Spoken, Text
from serve_app.api.reference_worker import legacy_request, legacy_stream, listed_models, worker_address, worker_status
from serve_app.config import Limits
from serve_app.errors import ApiError
from tests.serve_app.told import (
    FAILURE,
    RATE,
    Told,
    all_of,
    refusal_by,
    spoken,
    tone,
    understood_by,
    verdict_by,
    written,
)

LIMITS = Limits(max_audio_seconds=2.0, max_messages=3, max_text_chars=100, max_tokens=64)
SOUND = tone(1.0)


def sound(seconds: float, container: str = "wav") -> str:
    file = encode_audio(np.zeros(int(16_000 * seconds), np.float32), 16_000, container=container)
    return base64.b64encode(file).decode()


def said(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content[0] if len(content) == 1 else list(content)}


def asking(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": list(messages) or [said("hello")], **fields}


PARSER = partial(legacy_request, model="opens2s", limits=LIMITS)
understood = partial(understood_by, PARSER)
refusal = partial(refusal_by, PARSER)
verdict = partial(verdict_by, PARSER)


@pytest.mark.parametrize("content", ["hello", {"text": "hello"}, [{"text": "hello"}], ["hello"]])
def test_content_may_be_bare_or_an_object_or_a_list(content: Any) -> None:
    assert understood(asking(said(content))).messages[0].content == (Text("hello"),)


@pytest.mark.parametrize("container", ["wav", "flac", "mp3"])
def test_a_sound_may_stand_alone_or_beside_words(container: str) -> None:
    heard = sound(0.5, container)
    request = understood(asking(said({"audio": heard, "text": "", "speech_units": "", "spk_emb": None})))
    assert [type(item) for item in request.messages[0].content] == [Audio]
    both = understood(asking(said({"text": "listen", "audio": heard}, {"text": "and tell"}))).messages[0].content
    assert [type(item) for item in both] == [Text, Audio, Text]


def test_a_reply_that_is_sent_back_counts_by_its_words() -> None:
    past = understood(
        asking(
            said("kindly", role="system"),
            said({"text": "I see", "audio": sound(0.5)}, role="assistant"),
            said("go on"),
        )
    )
    assert [message.role for message in past.messages] == ["system", "assistant", "user"]
    assert past.messages[1].content == (Spoken("I see"),)


def test_a_reply_is_spoken_and_greedy_unless_asked_otherwise() -> None:
    plain = understood({"messages": [said("hello")], "temperature": None})
    assert plain.speak
    assert plain.audio.samples == "int16"
    assert (plain.text.temperature, plain.text.top_p) == (0, 1)
    sampled = understood(asking(temperature=0.5, top_p=0.9, max_new_tokens=9)).text
    assert (sampled.temperature, sampled.top_p, sampled.max_tokens) == (0.5, 0.9, 9)


REFUSED: list[tuple[Any, str | None]] = [
    (asking(model="gpt"), "model"),
    ({"model": "opens2s"}, "messages"),
    (asking(messages=[]), "messages"),
    (asking(*[said("a")] * 4), "messages"),
    (asking(said("a"), said("b", role="assistant")), "messages[1].role"),
    (asking(said("a", role="tool")), "messages[0].role"),
    (asking({"role": "user"}), "messages[0].content"),
    (asking(said("")), "messages[0].content"),
    (asking(said(5)), "messages[0].content"),
    (asking(said({})), "messages[0].content"),
    (asking(said({"text": "", "audio": None})), "messages[0].content"),
    (asking(said({"text": 5})), "messages[0].content.text"),
    (asking(said({"text": "a"}, 5)), "messages[0].content[1]"),
    (asking(said({"text": "a"}, {"text": "\0"})), "messages[0].content[1].text"),
    (asking(said("a" * 101)), "messages[0].content"),
    (asking(said({"text": "a" * 101})), "messages[0].content.text"),
    (asking(said({"audio": "?"})), "messages[0].content.audio"),
    (asking(said({"audio": sound(2.1)})), "messages[0].content.audio"),
    (asking(said({"audio": sound(1.5)}, {"audio": sound(1.5)})), "messages[0].content[1].audio"),
    (asking(said({"audio": sound(0.1)}, role="system"), said("a")), "messages[0].content.audio"),
    (asking(said({"audio": sound(0.1)}, role="assistant"), said("a")), "messages[0].content.audio"),
    (asking(temperature=-1), "temperature"),
    (asking(temperature=float("nan")), "temperature"),
    (asking(top_p=0), "top_p"),
    (asking(max_new_tokens=65), "max_new_tokens"),
    (asking(max_new_tokens=True), "max_new_tokens"),
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
def test_any_content_is_understood_or_refused(role: str, content: Any) -> None:
    assert verdict(asking({"role": role, "content": content}, said("a"))) in (200, 400)


def objects(reply: Told) -> Iterator[dict[str, Any]]:
    stream = b"".join(all_of(legacy_stream(reply, RATE)))
    assert stream.endswith(b"\0")
    for piece in stream[:-1].split(b"\0"):
        told = json.loads(piece)
        assert list(told) == ["text", "audio", "finalize", "error_code"]
        yield told


def heard(audio: str) -> np.ndarray:
    if not audio:
        return np.zeros(0, np.int16)
    with wave.open(io.BytesIO(base64.b64decode(audio))) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_each_object_has_all_of_the_text_and_the_new_sound() -> None:
    told = list(objects(Told(*spoken("hello ", "you", sound=SOUND))))
    assert [part["text"] for part in told] == ["hello ", *["hello you"] * 5]
    assert [bool(part["audio"]) for part in told] == [False, False, True, True, True, False]
    assert np.array_equal(np.concatenate([heard(part["audio"]) for part in told]), SOUND)
    assert [part["finalize"] for part in told] == [False] * 5 + [True]
    assert {part["error_code"] for part in told} == {0}


def test_the_last_object_is_final_though_the_text_ends_last() -> None:
    told = list(objects(Told(TextDelta("hm"), AudioChunk(SOUND, final=True), Finish("stop", 1, 1))))
    assert [part["finalize"] for part in told] == [False, False, True]


def test_words_may_hold_a_zero_and_any_other_character() -> None:
    (first, *_) = objects(Told(*written("a\0\u2028é")))
    assert first["text"] == "a\0\u2028é"


def test_a_reply_that_fails_says_so_in_its_last_object() -> None:
    *_, last = objects(Told(TextDelta("he"), failure=FAILURE))
    assert last == {"text": FAILURE.message, "audio": "", "finalize": True, "error_code": 1}


def test_the_worker_tells_its_load_and_the_controller_its_worker() -> None:
    assert worker_status("opens2s", 3) == {"model_names": ["opens2s"], "speed": 1, "queue_length": 3}
    assert listed_models("opens2s") == {"models": ["opens2s"]}
    addresses = [
        worker_address(json.dumps({"model": name}).encode(), model="opens2s", url="http://here", limits=LIMITS)
        for name in ("opens2s", "gpt")
    ]
    assert addresses == [{"address": "http://here"}, {"address": ""}]
    with pytest.raises(ApiError):
        worker_address(b"{}", model="opens2s", url="http://here", limits=LIMITS)
