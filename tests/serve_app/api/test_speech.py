"""Text to speech: what a request asks for, and how the sound leaves."""

import base64
import json
import unicodedata
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.inference.messages import AudioChunk
from opens2s_core.prompt import reading
from serve_app.api.audio_codec import SoundEncoder
from serve_app.api.speech import SpeechRequest, content_type, speech_events, speech_request, speech_sound
from serve_app.config import Limits
from serve_app.errors import ApiError
from tests.serve_app.told import FAILURE, RATE, Told, all_of, refusal_by, spoken, tone, understood_by, verdict_by

LIMITS = Limits(max_text_chars=20)
SOUND = tone(1.0)


def speech(**fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "input": "hello you", "voice": "alloy", **fields}


PARSER = partial(speech_request, model="opens2s", limits=LIMITS)
asked = partial(understood_by, PARSER)
refusal = partial(refusal_by, PARSER)
verdict = partial(verdict_by, PARSER)


def test_the_words_are_read_as_they_are() -> None:
    _, request = asked(speech(instructions="whisper"))
    assert request.say == "hello you"
    assert request.messages == reading("hello you", "whisper")
    assert request.speak
    assert request.audio.samples == "int16"


@pytest.mark.parametrize("instructions", ["", None])
def test_without_instructions_it_is_read_as_usual(instructions: str | None) -> None:
    assert asked(speech(instructions=instructions))[1].messages == reading("hello you")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_there_is_room_for_every_token_of_the_words(words: str) -> None:
    longest = len(unicodedata.normalize("NFC", words).encode()) + len(["<|im_tts_end|>", "<|im_end|>"])
    assert asked(speech(input=words))[1].text.max_tokens >= longest


def test_a_longer_text_may_be_spoken_longer() -> None:
    short, long = (asked(speech(input=words))[1].units.max_tokens for words in ("a", "a" * 20))
    assert 12.5 < short < long


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
    assert content_type(asked(speech(response_format=named))[0].audio_format) == media


@pytest.mark.parametrize(("stream_format", "as_events"), [(None, False), ("audio", False), ("sse", True)])
def test_sound_is_the_body_unless_events_are_asked_for(stream_format: str | None, as_events: bool) -> None:
    assert asked(speech(stream_format=stream_format))[0].as_events == as_events


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (speech(model="tts-1"), "model"),
        (speech(model=None), "model"),
        ({"model": "opens2s"}, "input"),
        (speech(input=""), "input"),
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
    asked(speech(speed=1))
    asked(speech(speed=1.0))


numbers = st.integers() | st.floats()


@given(
    st.sampled_from(list(SpeechRequest.model_fields)),
    st.none() | st.booleans() | numbers | st.text(max_size=30) | st.lists(numbers, max_size=2),
)
@settings(deadline=None)
def test_any_value_anywhere_is_understood_or_refused(field: str, value: Any) -> None:
    assert verdict(speech(**{field: value})) in (200, 400, 404)


def test_the_sound_leaves_in_parts_that_make_a_file() -> None:
    messages = spoken("hello ", "you", sound=SOUND)
    parts = all_of(speech_sound(Told(*messages), "mp3", RATE))
    encoder = SoundEncoder("mp3", RATE)
    pushed = [encoder.push(message.samples) for message in messages if isinstance(message, AudioChunk)]
    assert len(parts) > 1
    assert b"".join(parts) == b"".join([*pushed, encoder.close()])


def test_bare_samples_are_just_that() -> None:
    assert b"".join(all_of(speech_sound(Told(*spoken("hello", sound=SOUND)), "pcm16", RATE))) == SOUND.tobytes()


def payloads(events: list[str]) -> list[Any]:
    assert all(event.startswith("data: ") and event.endswith("\n\n") for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_events_hold_the_sound_and_then_what_was_used() -> None:
    *parts, last = payloads(all_of(speech_events(Told(*spoken("hello ", "you", sound=SOUND)), "pcm16", RATE)))
    assert {part["type"] for part in parts} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(part["audio"]) for part in parts) == SOUND.tobytes()
    assert last == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
    }


def test_a_reading_that_fails_is_told_in_events_and_breaks_a_body_off() -> None:
    messages = spoken("hello", sound=SOUND)[:3]
    assert payloads(all_of(speech_events(Told(*messages, failure=FAILURE), "mp3", RATE)))[-1] == FAILURE.body()
    with pytest.raises(ApiError, match="a stage failed"):
        all_of(speech_sound(Told(*messages, failure=FAILURE), "mp3", RATE))
