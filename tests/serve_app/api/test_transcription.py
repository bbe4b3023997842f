"""Transcriptions: what a request asks for, and how the text is sent."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.messages import Finish, ReplyRequest
from opens2s_core.prompt import Audio, Message, Text
from serve_app.api.context import ApiContext
from serve_app.api.transcription import (
    TranscriptionForm,
    TranscriptionRequest,
    check_transcribes,
    clip_seconds,
    parse_transcription,
    transcript,
    transcript_body,
    transcript_events,
    transcription_reply_request,
)
from serve_app.config import Limits
from serve_app.errors import ApiError
from tests.serve_app.api.forms import flac, form
from tests.serve_app.fake_reply import FAILURE, FakeReply, collect, text_reply

CONTEXT = ApiContext(
    model="opens2s",
    limits=Limits(max_audio_seconds=5.0, max_text_chars=20, max_tokens=100),
    units_per_token=3.5,
    transcription_prompt="Transcribe: ",
)
CLIP = flac(1.5)


def parse(fields: dict[str, Any], file: bytes = CLIP, context: ApiContext = CONTEXT) -> TranscriptionRequest:
    body, content_type = form({"model": "opens2s", **fields}, [("file", ("clip.flac", file))])
    return parse_transcription(body, context, content_type)


def requested(fields: dict[str, Any], file: bytes = CLIP, context: ApiContext = CONTEXT) -> ReplyRequest:
    return transcription_reply_request(parse(fields, file, context), context)


def refusal(fields: dict[str, Any], file: bytes = CLIP) -> ApiError:
    with pytest.raises(ApiError) as refused:
        requested(fields, file)
    json.dumps(refused.value.body()).encode()
    return refused.value


def test_the_model_reads_its_transcription_prompt_and_then_the_clip() -> None:
    request = requested({})
    (message,) = request.messages
    prompt, clip = message.content
    assert (message.role, prompt) == ("user", Text("Transcribe: "))
    assert isinstance(clip, Audio)
    assert len(clip.source) == 24_000
    assert clip_seconds(request) == 1.5
    assert not request.speak
    assert request.text.temperature == 0


def test_a_prompt_of_the_client_is_the_system_message() -> None:
    request = requested({"prompt": "Names: Ada", "temperature": "0.5", "language": "en"})
    assert request.messages[0] == Message("system", (Text("Names: Ada"),))
    assert [message.role for message in request.messages] == ["system", "user"]
    assert len(requested({"prompt": ""}).messages) == 1
    assert request.text.temperature == 0.5


@pytest.mark.parametrize(("seconds", "tokens"), [(0.5, 64), (3.0, 75), (4.5, 100)])
def test_a_transcript_is_no_longer_than_speech_of_that_length(seconds: float, tokens: int) -> None:
    assert requested({}, flac(seconds)).text.max_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "whisper-1"}, "model"),
        ({"model": ["opens2s", "opens2s"]}, "model"),
        ({"language": "english"}, "language"),
        ({"language": ""}, "language"),
        ({"prompt": "a" * 21}, "prompt"),
        ({"prompt": "a\0"}, "prompt"),
        ({"response_format": "srt"}, "response_format"),
        ({"response_format": "vtt"}, "response_format"),
        ({"response_format": "text", "stream": "true"}, "response_format"),
        ({"response_format": "verbose_json", "stream": "true"}, "response_format"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "perhaps"}, "stream"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"timestamp_granularities[]": ["word", "segment"]}, "timestamp_granularities"),
        ({"include[]": "logprobs"}, "include"),
        ({"chunking_strategy": "auto"}, "chunking_strategy"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], param: str) -> None:
    error = refusal(fields)
    assert error.param == param
    assert error.status == (404 if error.code == "model_not_found" else 400)


def test_formats_with_times_are_refused_with_those_that_there_are() -> None:
    assert refusal({"response_format": "srt"}).message == "'srt': input should be 'json', 'text' or 'verbose_json'"


@pytest.mark.parametrize(
    ("file", "message"),
    [(b"", "empty"), (b"no audio at all", "audio"), (CLIP[:30], "audio"), (flac(5.5), "audio of more than 5 s")],
)
def test_a_file_that_cannot_be_used_is_refused(file: bytes, message: str) -> None:
    error = refusal({}, file)
    assert (error.status, error.param) == (400, "file")
    assert message in error.message


def test_what_is_missing_is_named() -> None:
    for fields, files, param in (
        ({"model": "opens2s"}, [], "file"),
        ({"model": "opens2s", "file": "text"}, [], "file"),
        ({}, [("file", ("a", CLIP))], "model"),
    ):
        body, content_type = form(fields, files)
        with pytest.raises(ApiError) as refused:
            parse_transcription(body, CONTEXT, content_type)
        assert (refused.value.status, refused.value.param) == (400, param)


@given(st.sampled_from(list(TranscriptionForm.model_fields)), st.text(max_size=30).filter(str.isprintable))
def test_any_value_anywhere_is_accepted_or_refused(field: str, value: str) -> None:
    try:
        parse({field: value})
    except ApiError as error:
        assert error.status in (400, 404)  # noqa: PT017
        assert error.param == field  # noqa: PT017


def test_a_model_that_was_not_trained_to_transcribe_is_refused_with_what_to_do() -> None:
    check_transcribes(CONTEXT)
    with pytest.raises(ApiError, match=r"'opens2s' was not trained to transcribe.* 'transcription'") as refused:
        check_transcribes(replace(CONTEXT, transcription_prompt=""))
    assert (refused.value.status, refused.value.param, refused.value.code) == (404, "model", "model_not_supported")


def test_the_whole_text_and_its_usage() -> None:
    reply = FakeReply(*text_reply("hello ", "you"))
    assert collect_text(reply) == "hello you"
    body = transcript_body("hello you", Finish("stop", 7, 2), parse({}), 1.5)
    usage = {"type": "tokens", "input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    assert body == {"text": "hello you", "finish_reason": "stop", "usage": usage}


def collect_text(reply: FakeReply) -> str:
    async def texts() -> Any:
        yield await transcript(reply)

    return "".join(collect(texts()))


@pytest.mark.parametrize(("given", "language"), [({}, "und"), ({"language": "zh"}, "zh")])
def test_verbose_json_has_the_length_of_the_file_and_the_language_of_the_client(
    given: dict[str, str], language: str
) -> None:
    request = parse({"response_format": "verbose_json", **given})
    assert transcript_body("hello", Finish("length", 7, 2), request, 1.2345) == {
        "task": "transcribe",
        "language": language,
        "duration": 1.234,
        "text": "hello",
        "finish_reason": "length",
        "usage": {"type": "duration", "seconds": 2},
    }


def payloads(reply: FakeReply) -> list[Any]:
    return [json.loads(event.removeprefix("data: ")) for event in collect(transcript_events(reply))]


def test_events_hold_the_text_as_it_is_written_and_then_whole() -> None:
    *deltas, done = payloads(FakeReply(*text_reply("hello ", "you", reason="length")))
    assert [(event["type"], event["delta"]) for event in deltas] == [
        ("transcript.text.delta", "hello "),
        ("transcript.text.delta", "you"),
    ]
    assert done == {
        "type": "transcript.text.done",
        "text": "hello you",
        "finish_reason": "length",
        "usage": {"type": "tokens", "input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
    }


def test_a_reply_that_fails_ends_with_an_error_event() -> None:
    assert payloads(FakeReply(*text_reply("hello")[:1], failure=FAILURE))[-1] == FAILURE.body()
