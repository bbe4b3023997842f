"""Replies as chat completions, read by the types of the public ``openai`` package."""

import asyncio
import base64
import io
import json
import time
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage
from serve_app.api.audio_output import AudioEncoder, AudioFormat, encode_whole
from serve_app.api.chat_response import TRANSCRIPT_SECONDS, CallsInText, ReplyShape, completion, events, usage
from tests.serve_app.fake_reply import FAILURE, RATE, FakeReply, collect, spoken_reply, text_reply, tone

CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>'
AUDIO = tone(1.0)


def shape(**fields: Any) -> ReplyShape:
    plain: dict[str, Any] = {"speak": False, "audio_format": "pcm16", "include_usage": False}
    return ReplyShape(model="opens2s", sample_rate=RATE, id="1a", **{**plain, **fields})


def payloads(reply: FakeReply, form: ReplyShape) -> list[Any]:
    sent = collect(events(reply, form))
    assert sent.pop() == "data: [DONE]\n\n"
    assert all(event.startswith("data: ") and event.endswith("\n\n") for event in sent)
    return [json.loads(event.removeprefix("data: ")) for event in sent]


def streamed(messages: list[StageMessage], form: ReplyShape) -> list[ChatCompletionChunk]:
    return [
        ChatCompletionChunk.model_validate(payload, strict=True) for payload in payloads(FakeReply(*messages), form)
    ]


def whole(messages: list[StageMessage], form: ReplyShape) -> ChatCompletion:
    made = asyncio.run(completion(FakeReply(*messages), form))
    return ChatCompletion.model_validate(json.loads(json.dumps(made)), strict=True)


def deltas(chunks: list[ChatCompletionChunk]) -> list[Any]:
    return [chunk.choices[0].delta for chunk in chunks]


def test_a_text_reply_is_streamed_by_deltas() -> None:
    chunks = streamed(text_reply("hello ", "you"), shape())
    assert deltas(chunks)[0].role == "assistant"
    assert [delta.content for delta in deltas(chunks)] == [None, "hello ", "you", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {
        ("chatcmpl-1a", "opens2s", chunks[0].created)
    }


def test_a_whole_text_reply() -> None:
    made = whole(text_reply("hello ", "you", reason="length"), shape())
    assert made.choices[0].message.content == "hello you"
    assert made.choices[0].message.audio is None
    assert made.choices[0].finish_reason == "length"
    assert made.usage is not None
    assert made.usage.model_dump(exclude_none=True) == usage(Finish("length", 7, 2))


def test_usage_comes_last_where_it_is_asked_for() -> None:
    chunks = streamed(text_reply("hello"), shape(include_usage=True))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.total_tokens) == (7, 8)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def same_file(one: bytes, other: bytes, audio_format: AudioFormat) -> bool:
    if audio_format != "opus":
        return one == other
    # Every opus stream has a number of its own.
    return np.array_equal(*(soundfile.read(io.BytesIO(file))[0] for file in (one, other)))


def encoded(messages: list[StageMessage], audio_format: AudioFormat) -> bytes:
    """The audio as one encoder encodes it."""
    encoder = AudioEncoder(audio_format, RATE)
    parts = [encoder.push(message.samples) for message in messages if isinstance(message, AudioChunk)]
    return b"".join([*parts, encoder.close()])


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
@pytest.mark.parametrize("seconds", [1.0, 0.0])
def test_a_spoken_reply_streams_one_file(audio_format: AudioFormat, seconds: float) -> None:
    messages = spoken_reply("hello ", "you", audio=tone(seconds))
    chunks = streamed(messages, shape(speak=True, audio_format=audio_format))
    parts = [delta.audio for delta in deltas(chunks) if delta.audio]
    assert "".join(part.transcript or "" for part in parts) == "hello you"
    assert {part.id for part in parts} == {"audio_1a"}
    data = b"".join(base64.b64decode(part.data or "") for part in parts)
    assert same_file(data, encoded(messages, audio_format), audio_format)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_audio_is_streamed_as_it_is_made() -> None:
    chunks = streamed(spoken_reply("hello", audio=AUDIO), shape(speak=True))
    made = [base64.b64decode(delta.audio.data) for delta in deltas(chunks) if delta.audio and delta.audio.data]
    assert made == [part.tobytes() for part in np.array_split(AUDIO, 3)]


def test_the_last_audio_delta_says_when_the_transcript_expires() -> None:
    parts = [
        delta.audio for delta in deltas(streamed(spoken_reply("a", audio=AUDIO), shape(speak=True))) if delta.audio
    ]
    assert parts[-1].model_dump(exclude_unset=True).keys() == {"id", "expires_at"}
    assert all(part.expires_at is None for part in parts[:-1])
    assert abs(parts[-1].expires_at - time.time() - TRANSCRIPT_SECONDS) < 10


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
@pytest.mark.parametrize("seconds", [1.0, 0.0])
def test_a_spoken_reply_whole_is_a_file(audio_format: AudioFormat, seconds: float) -> None:
    messages = spoken_reply("hello ", "you", audio=tone(seconds))
    message = whole(messages, shape(speak=True, audio_format=audio_format)).choices[0].message
    assert message.content is None
    assert message.audio is not None
    assert (message.audio.id, message.audio.transcript) == ("audio_1a", "hello you")
    assert abs(message.audio.expires_at - time.time() - TRANSCRIPT_SECONDS) < 10
    file = encode_whole(tone(seconds), RATE, audio_format)
    assert same_file(base64.b64decode(message.audio.data), file, audio_format)


@pytest.mark.parametrize("speak", [True, False])
def test_a_reply_that_fails_ends_with_the_error(speak: bool) -> None:
    *_, last = collect(events(FakeReply(*text_reply("a")[:1], failure=FAILURE), shape(speak=speak, audio_format="mp3")))
    assert json.loads(last.removeprefix("data: ")) == FAILURE.body()


def test_events_are_compact() -> None:
    assert '": ' not in "".join(collect(events(FakeReply(*text_reply("a")), shape())))


def test_a_line_end_of_any_kind_stays_inside_its_event() -> None:
    sent = "".join(collect(events(FakeReply(*text_reply("a\nb\r\u2028\x85c")), shape())))
    assert all(line.startswith("data: ") for line in sent.splitlines() if line)


def test_tool_calls_have_their_own_field() -> None:
    content = f"let me look\n{CALL}{CALL}"
    message = whole(text_reply(content), shape(tools=True)).choices[0]
    assert message.finish_reason == "tool_calls"
    assert message.message.content == "let me look"
    calls = message.message.tool_calls
    assert calls is not None
    assert [call.id for call in calls] == ["call_1a_0", "call_1a_1"]
    assert calls[0].type == "function"
    assert (calls[0].function.name, json.loads(calls[0].function.arguments)) == ("look", {"at": "sea"})

    chunks = streamed(text_reply(*content), shape(tools=True))
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert "".join(delta.content or "" for delta in deltas(chunks)) == "let me look"
    streamed_calls = [call for delta in deltas(chunks) for call in delta.tool_calls or ()]
    assert [call.index for call in streamed_calls] == [0, 1]
    assert [call.model_dump(exclude={"index"}) for call in streamed_calls] == [call.model_dump() for call in calls]


def test_a_reply_that_is_only_a_call_has_no_content() -> None:
    assert whole(text_reply(CALL), shape(tools=True)).choices[0].message.content is None


def test_a_reply_that_was_cut_says_so_even_after_a_call() -> None:
    assert whole(text_reply(CALL, reason="length"), shape(tools=True)).choices[0].finish_reason == "length"


def test_a_generated_call_may_have_empty_arguments() -> None:
    call = '<tool_call>\n{"name": "look", "arguments": ""}\n</tool_call>'
    message = whole(text_reply(call), shape(tools=True)).choices[0].message
    assert message.content is None
    assert message.tool_calls is not None
    assert [call.function.arguments for call in message.tool_calls if call.type == "function"] == ["{}"]


def test_without_tools_a_call_is_text() -> None:
    assert whole(text_reply(CALL), shape()).choices[0].message.content == CALL
    assert "".join(delta.content or "" for delta in deltas(streamed(text_reply(CALL), shape()))) == CALL


def test_text_that_is_no_call_comes_at_the_latest_at_the_end() -> None:
    broken = "see <tool_call> {not json}  "
    chunks = streamed(text_reply(*broken), shape(tools=True))
    assert "".join(delta.content or "" for delta in deltas(chunks)) == broken
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert whole(text_reply(broken), shape(tools=True)).choices[0].message.content == broken


def test_text_does_not_wait_where_no_call_can_begin() -> None:
    text = CallsInText()
    assert [text.push(chunk) for chunk in ("hello", " you", " <", "b>", "<tool", "_call>", "x")] == [
        "hello",
        " you",
        "",
        " <b>",
        "",
        "",
        "",
    ]


scraps = [CALL, "<tool_call>", "</tool_call>", "<", " ", "\n", "a", "b c", '{"name":']


@given(st.lists(st.sampled_from(scraps), max_size=8), st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_streamed_and_whole_replies_are_equal(parts: list[str], size: int) -> None:
    text = "".join(parts)
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    chunks = deltas(streamed(text_reply(*cut), shape(tools=True)))
    message = whole(text_reply(text), shape(tools=True)).choices[0].message
    content = "".join(delta.content or "" for delta in chunks)
    calls = [call for delta in chunks for call in delta.tool_calls or ()]
    assert [call.id for call in calls] == [call.id for call in message.tool_calls or ()]
    assert (content.strip() if calls else content) == (message.content or "")
