"""Text to speech: what a request asks for, and how its audio is sent."""

import base64
import io
import json
import unicodedata
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.inference.messages import AudioChunk, ReplyRequest
from opens2s_core.prompt import read_aloud
from serve_app.api.audio_output import AudioEncoder, encode_whole
from serve_app.api.audio_parts import PAUSE_SECONDS
from serve_app.api.context import ApiContext
from serve_app.api.speech import (
    SpeechBody,
    SpeechRequest,
    content_type,
    parse_speech,
    speech_audio,
    speech_events,
    speech_reply_requests,
)
from serve_app.api.spoken_text import is_blank
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
    tone,
)

LIMITS = Limits(max_text_chars=20)
AUDIO = tone(1.0)
SPEAKER = np.ones(512, np.float32)
CONTEXT = ApiContext(model="opens2s", limits=LIMITS, units_per_token=3.5, voices={"default": None, "ada": SPEAKER})


def speech(**fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "input": "hello you", "voice": "default", **fields}


def parse(body: Any, context: ApiContext = CONTEXT) -> SpeechRequest:
    return parse_with(partial(parse_speech, context=context), body)


def requested(body: Any, context: ApiContext = CONTEXT) -> tuple[ReplyRequest, ...]:
    return speech_reply_requests(parse(body, context), context)


refusal = partial(refusal_by, partial(parse_speech, context=CONTEXT))
status = partial(status_by, partial(parse_speech, context=CONTEXT))


def test_the_text_is_read_as_it_is() -> None:
    (request,) = requested(speech(instructions="whisper"))
    assert request.reply_text == "hello you"
    assert request.messages == read_aloud("hello you", "whisper")
    assert request.speak
    assert request.audio.samples == "int16"


@pytest.mark.parametrize("instructions", ["", None])
def test_without_instructions_it_is_read_as_usual(instructions: str | None) -> None:
    assert requested(speech(instructions=instructions))[0].messages == read_aloud("hello you")


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(TEXTS.filter(lambda text: not is_blank(text)))
def test_there_is_room_for_every_token_of_the_text(text: str) -> None:
    for request in requested(speech(input=text)):
        assert request.reply_text is not None
        tokens = len(unicodedata.normalize("NFC", request.reply_text).encode()) + len(["<|im_tts_end|>", "<|im_end|>"])
        assert request.text.max_tokens >= tokens
        assert request.units.max_tokens > 3 * CONTEXT.units_per_token * tokens


def test_a_long_text_is_read_in_parts_by_one_voice() -> None:
    context = replace(CONTEXT, limits=Limits())
    text = "This is a sentence that is read aloud. " * 20
    requests = requested(speech(input=text, voice="ada", seed=7, instructions="whisper"), context)
    assert len(requests) > 1
    assert " ".join(request.reply_text or "" for request in requests) == text.strip()
    for request in requests:
        assert request.messages == read_aloud(request.reply_text or "", "whisper")
        assert request.speaker is SPEAKER
        assert (request.seed, request.text.seed, request.units.seed) == (7, 7, 7)
        assert (request.units.temperature, request.units.top_p) == (1, 1)


def test_without_a_seed_all_parts_of_a_text_have_the_same() -> None:
    context = replace(CONTEXT, limits=Limits())
    requests = requested(speech(input="A sentence. " * 50), context)
    assert len({request.units.seed for request in requests}) == 1
    assert requests[0].seed != requested(speech())[0].seed


@pytest.mark.parametrize("voice", ["default", None])
def test_the_default_voice_is_the_own_one_of_the_model(voice: str | None) -> None:
    assert requested(speech(voice=voice))[0].speaker is None


@pytest.mark.parametrize(
    ("named", "media"),
    [
        (None, "audio/mpeg"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
def test_a_format_has_its_media_type(named: str | None, media: str) -> None:
    assert content_type(parse(speech(response_format=named)).audio_format) == media


@pytest.mark.parametrize(("stream_format", "as_events"), [(None, False), ("audio", False), ("sse", True)])
def test_audio_is_the_body_unless_events_are_requested(stream_format: str | None, as_events: bool) -> None:
    assert parse(speech(stream_format=stream_format)).as_events == as_events


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (speech(model="tts-1"), "model"),
        (speech(model=None), "model"),
        ({"model": "opens2s"}, "input"),
        (speech(input=""), "input"),
        (speech(input=" \n\u200b\x07"), "input"),
        (speech(voice="alloy"), "voice"),
        (speech(voice=5), "voice"),
        (speech(voice={"id": "default"}), "voice"),
        (speech(seed="a"), "seed"),
        (speech(input=["a"]), "input"),
        (speech(input="a\0"), "input"),
        (speech(input="a" * 21), "input"),
        (speech(input="a" * 15, instructions="a" * 6), "instructions"),
        (speech(instructions=5), "instructions"),
        (speech(response_format="aac"), "response_format"),
        (speech(response_format="pcm16"), "response_format"),
        (speech(speed=1.5), "speed"),
        (speech(speed=0.5), "speed"),
        (speech(speed=True), "speed"),
        (speech(speed=float("nan")), "speed"),
        (speech(stream_format="mp3"), "stream_format"),
        ([], None),
        (b"{", None),
        (b"[" * 10_000, None),
        (b'{"model": "opens2s", "input": "\\ud800"}', None),
    ],
)
def test_a_refusal_names_the_field(body: Any, param: str | None) -> None:
    error = refusal(body)
    assert error.param == param
    assert error.status == (404 if error.code == "model_not_found" else 400)


def test_the_usual_speed_may_be_named() -> None:
    parse(speech(speed=1))
    parse(speech(speed=1.0))


numbers = st.integers() | st.floats()


@given(
    st.sampled_from(list(SpeechBody.model_fields)),
    st.none() | st.booleans() | numbers | st.text(max_size=30) | st.lists(numbers, max_size=2),
)
@settings(deadline=None)
def test_any_value_anywhere_is_accepted_or_refused(field: str, value: Any) -> None:
    assert status(speech(**{field: value})) in (200, 400, 404)


def test_the_audio_is_streamed_as_one_file() -> None:
    messages = spoken_reply("hello ", "you", audio=AUDIO)
    sent = collect(speech_audio(FakeReply(*messages), "mp3", RATE))
    encoder = AudioEncoder("mp3", RATE)
    pushed = [encoder.push(message.samples) for message in messages if isinstance(message, AudioChunk)]
    assert len(sent) > 1
    assert b"".join(sent) == b"".join([*pushed, encoder.close()])


def test_the_samples_of_one_part_are_unchanged() -> None:
    reply = FakeReply(*spoken_reply("hello", audio=AUDIO))
    assert b"".join(collect(speech_audio(reply, "pcm16", RATE))) == AUDIO.tobytes()


def test_flac_is_a_file_with_its_length() -> None:
    sent = b"".join(collect(speech_audio(FakeReply(*spoken_reply("hello", audio=AUDIO)), "flac", RATE)))
    assert sent == encode_whole(AUDIO, RATE, "flac")
    samples, rate = soundfile.read(io.BytesIO(sent), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, AUDIO)


def test_parts_are_joined_with_a_pause() -> None:
    messages = [*spoken_reply("one.", audio=AUDIO), *spoken_reply("two.", audio=AUDIO)]
    samples = np.frombuffer(b"".join(collect(speech_audio(FakeReply(*messages), "pcm16", RATE))), "<i2")
    assert abs(len(samples) - 2 * len(AUDIO) - PAUSE_SECONDS * RATE) < 10


def payloads(events: list[str]) -> list[Any]:
    assert all(event.startswith("data: ") and event.endswith("\n\n") for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_events_hold_the_audio_and_then_the_usage() -> None:
    reply = FakeReply(*spoken_reply("hello ", "you", audio=AUDIO))
    *deltas, last = payloads(collect(speech_events(reply, "pcm16", RATE)))
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == AUDIO.tobytes()
    assert last == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
    }


def test_a_reply_that_fails_ends_with_an_error_event_or_breaks_the_body() -> None:
    messages = spoken_reply("hello", audio=AUDIO)[:3]
    events = collect(speech_events(FakeReply(*messages, failure=FAILURE), "mp3", RATE))
    assert payloads(events)[-1] == FAILURE.body()
    with pytest.raises(ApiError, match="a stage failed"):
        collect(speech_audio(FakeReply(*messages, failure=FAILURE), "mp3", RATE))
