"""Chat completion requests: what they ask of the model, and what is wrong with those that are refused."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._utils import maybe_transform
from openai.types.chat import ChatCompletionAudio, ChatCompletionMessage, ChatCompletionMessageParam

from opens2s_core.audio import encode_audio
from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.prompt import Audio, Message, Spoken, Text, ToolCall
from serve_app.api.audio_output import AudioFormat
from serve_app.api.chat_request import ChatRequest, chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.config import Limits
from serve_app.errors import ApiError
from tests.serve_app.fake_reply import parse_with, refusal_by, status_by

LIMITS = Limits(max_audio_seconds=2.0, max_messages=6, max_text_chars=200, max_tokens=64, max_tools=2)


def sound(seconds: float) -> dict[str, Any]:
    wav = encode_audio(np.zeros(int(16_000 * seconds), np.float32), 16_000, container="wav")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*calls: dict[str, Any], content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **fields}


def call(identity: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(identity: str, words: str = "found") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": words}


def tool(name: str = "look", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": list(messages) or [{"role": "user", "content": "hello"}], **fields}


SPEAKER = np.ones(512, np.float32)
CONTEXT = ApiContext(
    model="opens2s",
    limits=LIMITS,
    units_per_token=3.5,
    voices={"default": None, "ada": SPEAKER},
    transcripts={"audio_0": "stored", "audio_1": ""},
)


def parse(body: Any, context: ApiContext = CONTEXT) -> ChatRequest:
    return parse_with(partial(parse_chat, context=context), body)


def read(body: bytes, context: ApiContext = CONTEXT) -> ReplyRequest:
    return chat_reply_request(parse_chat(body, context), context)


requested = partial(parse_with, read)
refusal = partial(refusal_by, read)
status = partial(status_by, read)


def test_a_conversation_keeps_its_order_and_its_roles() -> None:
    messages = requested(
        chat(
            {"role": "developer", "content": "be kind"},
            user(text("listen"), sound(0.5)),
            {"role": "assistant", "content": "written"},
            {"role": "assistant", "content": [text("said")], "audio": {"id": "audio_1"}},
            user(text("and now")),
        )
    ).messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "assistant", "user"]
    assert isinstance(messages[1].content[1], Audio)
    assert messages[1].content[1].source.shape == (8_000,)
    assert messages[2:4] == (Message("assistant", (Text("written"),)), Message("assistant", (Spoken("said"),)))


@pytest.mark.parametrize("modalities", [["audio"], ["text", "audio"], ["audio", "text"]])
def test_audio_is_requested_by_its_modality(modalities: list[str]) -> None:
    assert requested(chat(modalities=modalities)).speak
    assert not requested(chat(modalities=["text"])).speak
    assert not requested(chat()).speak


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
@pytest.mark.parametrize("stream", [True, False])
def test_every_format_is_streamed_and_whole(audio_format: str, stream: bool) -> None:
    asked = parse(chat(modalities=["audio"], audio={"voice": "ada", "format": audio_format}, stream=stream))
    assert asked.audio_format == audio_format


def test_the_default_format_suits_a_stream_or_a_file() -> None:
    assert (parse(chat(stream=True)).audio_format, parse(chat()).audio_format) == ("pcm16", "wav")


def test_audio_is_requested_as_int16() -> None:
    assert requested(chat()).audio.samples == "int16"
    assert requested(chat()).audio.rate is None


def test_text_is_greedy_by_default() -> None:
    plain = requested(chat()).text
    assert (plain.temperature, plain.top_k, plain.repetition_penalty) == (0, None, 1)
    fields = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "seed": 7}
    asked = requested(chat(**fields)).text
    assert {name: getattr(asked, name) for name in fields} == fields


def test_the_newer_name_of_a_limit_counts() -> None:
    assert requested(chat(max_completion_tokens=9, max_tokens=3)).text.max_tokens == 9


def test_without_a_seed_each_reply_has_its_own() -> None:
    assert requested(chat()).seed != requested(chat()).seed
    assert requested(chat(seed=-1)).seed >= 0


@pytest.mark.parametrize(("stop", "known"), [(None, ()), ("a", ("a",)), ([], ()), (["a", "\n"], ("a", "\n"))])
def test_stop_is_a_string_or_some(stop: Any, known: tuple[str, ...]) -> None:
    assert requested(chat(stop=stop)).stop == known


def test_tools_reach_the_model_as_their_schemas() -> None:
    weather = tool("weather", description="of a place", parameters={"type": "object", "default": None}, strict=True)
    first, second = requested(chat(tools=[weather, tool("clock")])).tools
    del weather["function"]["strict"]
    assert json.loads(first) == weather
    assert json.loads(second) == tool("clock")


@pytest.mark.parametrize(("choice", "offered"), [(None, 1), ("auto", 1), ("none", 0)])
def test_tools_that_may_not_be_called_are_not_shown(choice: str | None, offered: int) -> None:
    assert len(requested(chat(tools=[tool()], tool_choice=choice)).tools) == offered


def test_a_spoken_reply_cannot_call_tools() -> None:
    assert refusal(chat(tools=[tool()], modalities=["audio"])).param == "tools"
    assert requested(chat(tools=[tool()], tool_choice="none", modalities=["audio"])).speak


def test_calls_and_their_results_are_part_of_the_conversation() -> None:
    asked = assistant(call("a", arguments='{"at": "sea"}'), content="let me look")
    messages = requested(chat(user(text("hello")), asked, result("a"), user(text("thanks")))).messages
    assert messages[1].content == (Text("let me look"), ToolCall("a", "look", '{"at": "sea"}'))
    assert messages[2] == Message("tool", (Text("found"),))


def test_results_come_in_the_order_of_their_calls() -> None:
    given = chat(user(text("hello")), assistant(call("a"), call("b")), result("b", "second"), result("a", "first"))
    assert [message.content for message in requested(given).messages[2:]] == [(Text("first"),), (Text("second"),)]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_other_roles_may_be_empty(role: str) -> None:
    assert requested(chat({"role": role, "content": ""}, user(text("a")))).messages[0].content == (Text(""),)


def test_an_empty_text_beside_a_sound_does_no_harm() -> None:
    assert len(requested(chat(user(text(""), sound(0.1)))).messages[0].content) == 2


def test_neutral_values_and_hints_are_accepted() -> None:
    neutral = {
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "store": False,
        "parallel_tool_calls": True,
        "reasoning_effort": "none",
        "service_tier": "auto",
        "verbosity": "medium",
        "tool_choice": "auto",
        "tools": [],
        "response_format": {"type": "text"},
    }
    requested(chat(**neutral))
    requested(chat(**dict.fromkeys([*neutral, "functions", "function_call", "web_search_options", "stream_options"])))
    requested(chat(user="me", metadata={"a": [1]}, prompt_cache_key="a", safety_identifier="b", prediction={"type": 1}))


def test_a_body_may_begin_with_a_byte_order_mark() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(chat()).encode()).messages == requested(chat()).messages


def test_penalties_and_biases_reach_the_text_sampling() -> None:
    asked = requested(chat(presence_penalty=-2, frequency_penalty=0.5, logit_bias={"0": -100, "17": 2.5})).text
    assert (asked.presence_penalty, asked.frequency_penalty) == (-2, 0.5)
    assert asked.logit_bias == ((0, -100), (17, 2.5))
    plain = requested(chat(presence_penalty=None, logit_bias=None)).text
    assert (plain.presence_penalty, plain.frequency_penalty, plain.logit_bias) == (0, 0, ())


def test_units_are_sampled_with_the_seed_of_the_request() -> None:
    units = requested(chat(seed=5, temperature=0, max_tokens=64)).units
    assert (units.temperature, units.top_p, units.top_k, units.seed) == (1, 1, None, 5)
    assert units.max_tokens > 3 * 3.5 * 64


def test_a_voice_is_a_name_of_the_model() -> None:
    assert requested(chat(modalities=["audio"], audio={"voice": "ada"})).speaker is SPEAKER
    assert requested(chat(modalities=["audio"], audio={"voice": "default"})).speaker is None
    assert requested(chat(modalities=["audio"])).speaker is None


def sdk_message(**audio: Any) -> dict[str, Any]:
    """The message of a spoken reply as the public client sends it back."""
    fields = {"id": "audio_9", "data": "UklGRg==", "expires_at": 1, **audio}
    message = ChatCompletionMessage(
        role="assistant", content=None, refusal=None, audio=ChatCompletionAudio.model_validate(fields)
    )
    sent: dict[str, Any] = maybe_transform(message, ChatCompletionMessageParam)  # type: ignore[assignment]
    return sent


@pytest.mark.parametrize(("transcript", "content"), [("I see", Spoken("I see")), ("", Text(""))])
def test_the_message_of_the_public_client_can_be_sent_back(transcript: str, content: Any) -> None:
    messages = requested(chat(user(sound(0.1)), sdk_message(transcript=transcript), user(sound(0.1)))).messages
    assert messages[1] == Message("assistant", (content,))


def test_a_reply_that_is_named_by_its_id_has_the_stored_transcript() -> None:
    named = [{"role": "assistant", "audio": {"id": name}} for name in ("audio_0", "audio_1", "audio_0")]
    body = chat(*named, user(text("a")))
    assert parse(body).audio_ids == ("audio_0", "audio_1")
    assert [message.content[0] for message in requested(body).messages[:3]] == [
        Spoken("stored"),
        Text(""),
        Spoken("stored"),
    ]
    assert parse(chat(sdk_message(transcript="I see"), user(text("a")))).audio_ids == ()


def test_an_id_that_is_not_stored_is_unknown_or_expired() -> None:
    error = refusal(chat({"role": "assistant", "audio": {"id": "audio_7"}}, user(text("a"))))
    assert error.param == "messages[0].audio.id"
    assert error.message.startswith("audio 'audio_7' is unknown or expired")


def test_stored_transcripts_count_as_text() -> None:
    context = replace(CONTEXT, transcripts={"a": "b" * 200})
    body = json.dumps(chat({"role": "assistant", "audio": {"id": "a"}}, user(text("c")))).encode()
    with pytest.raises(ApiError, match="too much text"):
        read(body, context)


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({}, Text("")),
        ({"content": None}, Text("")),
        ({"content": None, "refusal": None, "audio": None, "tool_calls": None}, Text("")),
        ({"content": None, "refusal": "no"}, Text("no")),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, Text("no")),
    ],
)
def test_an_assistant_message_may_be_empty_or_a_refusal(fields: dict[str, Any], content: Text) -> None:
    assert requested(chat({"role": "assistant", **fields}, user(text("a")))).messages[0].content == (content,)


@pytest.mark.parametrize("arguments", ["", " "])
def test_empty_arguments_are_none(arguments: str) -> None:
    messages = requested(chat(assistant(call("a", arguments=arguments)), result("a"))).messages
    assert messages[0].content == (ToolCall("a", "look", "{}"),)


def test_a_model_that_cannot_write_tools_refuses_them_by_name() -> None:
    context = replace(CONTEXT, writes_tools=False)
    error = refusal_by(partial(parse_chat, context=context), chat(tools=[tool()]))
    assert (error.status, error.param) == (400, "tools")
    assert parse(chat(tools=[tool()], tool_choice="none"), context).tools == ()


def test_audio_is_decoded_only_in_the_second_step() -> None:
    body = chat(user({"type": "input_audio", "input_audio": {"data": "?", "format": "m4a"}}))
    chat_request = parse(body)
    with pytest.raises(ApiError, match="not base64"):
        chat_reply_request(chat_request, CONTEXT)


A = user(text("a"))
BEYOND_FLOATS = chat(tools=[tool(parameters={"a": 0.5})])
REFUSED: list[tuple[Any, str | None]] = [
    (chat(model="gpt"), "model"),
    (chat(model=5), "model"),
    (chat(messages=[]), "messages"),
    (chat(messages="hello"), "messages"),
    (chat(*[A] * 7), "messages"),
    (chat(5), "messages[0]"),
    (chat({"content": "a"}), "messages[0].role"),
    (chat({"role": "function", "content": "a"}), "messages[0].role"),
    (chat({"role": [[]], "content": "a"}), "messages[0].role"),
    (chat(A, {"role": "assistant", "content": "b"}), "messages[1].role"),
    (chat({"role": "user"}), "messages[0].content"),
    (chat({"role": "user", "content": None}), "messages[0].content"),
    (chat({"role": "user", "content": 5}), "messages[0].content"),
    (chat({"role": "user", "content": ""}), "messages[0].content"),
    (chat({"role": "user", "content": "a\0b"}), "messages[0].content"),
    (chat({"role": "user", "content": "a" * 201}), "messages[0].content"),
    (chat(user()), "messages[0].content"),
    (chat(user(text(""), text(""))), "messages[0].content"),
    (chat(user(5)), "messages[0].content[0]"),
    (chat(user({"type": "image_url"})), "messages[0].content[0].type"),
    (chat(user({})), "messages[0].content[0].type"),
    (chat(user({"type": "text", "text": 5})), "messages[0].content[0].text"),
    (chat(user(text("\0"))), "messages[0].content[0].text"),
    (chat(user(text("a"), {"type": "text"})), "messages[0].content[1].text"),
    (chat(user(text("a" * 199), text("aa"))), "messages[0].content[1].text"),
    (chat(user({"type": "input_audio"})), "messages[0].content[0].input_audio"),
    (chat(user({"type": "input_audio", "input_audio": {"format": "wav"}})), "messages[0].content[0].input_audio.data"),
    (
        chat(user({"type": "input_audio", "input_audio": {"data": "", "format": "aiff"}})),
        "messages[0].content[0].input_audio.format",
    ),
    (
        chat(user({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}})),
        "messages[0].content[0].input_audio.data",
    ),
    (chat(user(sound(0))), "messages[0].content[0].input_audio.data"),
    (chat(user(sound(2.1))), "messages[0].content[0].input_audio.data"),
    (chat(user(sound(1.5), sound(1.5))), "messages[0].content[1].input_audio.data"),
    (chat({"role": "system", "content": [sound(1)]}, A), "messages[0].content[0].type"),
    (chat({"role": "system", "content": []}, A), "messages[0].content"),
    (chat({"role": "user", "content": " \n\u200b\x07"}), "messages[0].content"),
    (chat(user(text(" "), text("\t"))), "messages[0].content"),
    (chat({"role": "user", "content": " "}, {"role": "assistant", "content": "a"}, A), "messages[0].content"),
    (chat({"role": "assistant", "audio": {"id": "a"}}, A), "messages[0].audio.id"),
    (chat({"role": "assistant", "audio": {"id": "a", "transcript": 5}}, A), "messages[0].audio.transcript"),
    (chat({"role": "assistant", "audio": {"transcript": "a"}}, A), "messages[0].audio.id"),
    (chat({"role": "assistant", "audio": {"id": "a", "transcript": "a" * 201}}, A), "messages[0].audio.transcript"),
    (chat({"role": "assistant", "content": [{"type": "refusal"}]}, A), "messages[0].content[0].refusal"),
    (chat(user({"type": "refusal", "refusal": "a"})), "messages[0].content[0].type"),
    (chat({"role": "assistant", "content": "", "audio": {"id": "a"}}, A), "messages[0].audio.id"),
    (chat({"role": "assistant", "content": "a", "audio": "b"}, A), "messages[0].audio"),
    (chat(assistant(call("a", name="a b")), result("a")), "messages[0].tool_calls[0].function.name"),
    (chat(assistant(call("a", arguments="{")), result("a")), "messages[0].tool_calls[0].function.arguments"),
    (chat(assistant(call("a", arguments="[]")), result("a")), "messages[0].tool_calls[0].function.arguments"),
    (chat(assistant(call("a", arguments="[" * 150)), result("a")), "messages[0].tool_calls[0].function.arguments"),
    (
        chat(assistant(call("a", arguments='{"a": "\\ud800"}')), result("a")),
        "messages[0].tool_calls[0].function.arguments",
    ),
    (chat(assistant({**call("a"), "type": "custom"}), result("a")), "messages[0].tool_calls[0].type"),
    (chat(assistant(call("")), result("")), "messages[0].tool_calls[0].id"),
    (chat(assistant(call("a"), call("a")), result("a")), "messages[0].tool_calls"),
    (chat(assistant(call("a"), call("b")), result("a")), "messages[0].tool_calls"),
    (chat(assistant(call("a")), A), "messages[0].tool_calls"),
    (chat(assistant(call("a")), result("b")), "messages[1].tool_call_id"),
    (chat(assistant(call("a")), result("a"), result("a")), "messages[2].tool_call_id"),
    (chat(assistant(call("a")), result("a"), A, result("a")), "messages[3].tool_call_id"),
    (chat({"role": "tool", "content": "a"}), "messages[0].tool_call_id"),
    (chat(assistant(call("a")), {**result("a"), "content": None}), "messages[1].content"),
    (chat(modalities=["video"]), "modalities[0]"),
    (chat(modalities=["text", "text"]), "modalities"),
    (chat(modalities=[]), "modalities"),
    (chat(modalities="text"), "modalities"),
    (chat(audio={"voice": "default", "format": "aac"}), "audio.format"),
    (chat(stream="yes"), "stream"),
    (chat(temperature="0.5"), "temperature"),
    (chat(temperature=2.1), "temperature"),
    (chat(temperature=True), "temperature"),
    (chat(temperature=float("nan")), "temperature"),
    (chat(temperature=float("inf")), "temperature"),
    (chat(temperature=10**400), "temperature"),
    (chat(top_p=0), "top_p"),
    (chat(top_k=0), "top_k"),
    (chat(top_k=True), "top_k"),
    (chat(top_k=1.5), "top_k"),
    (chat(repetition_penalty=0), "repetition_penalty"),
    (chat(repetition_penalty=1e-300), "repetition_penalty"),
    (chat(seed=2**64), "seed"),
    (chat(seed=10**4000), "seed"),
    (chat(presence_penalty=2.1), "presence_penalty"),
    (chat(frequency_penalty=-2.1), "frequency_penalty"),
    (chat(frequency_penalty="1"), "frequency_penalty"),
    (chat(logit_bias={"a": 1}), "logit_bias.a"),
    (chat(logit_bias={"01": 1}), "logit_bias.01"),
    (chat(logit_bias={"1": 101}), "logit_bias.1"),
    (chat(logit_bias={"1": None}), "logit_bias.1"),
    (chat(logit_bias=[1]), "logit_bias"),
    (chat(logit_bias={str(token): 1 for token in range(2_000)}), "logit_bias"),
    (chat(functions=[{"name": "look"}]), "functions"),
    (chat(functions=[]), "functions"),
    (chat(function_call="auto"), "function_call"),
    (chat(top_logprobs=5), "top_logprobs"),
    (chat(parallel_tool_calls=False), "parallel_tool_calls"),
    (chat(store=True), "store"),
    (chat(reasoning_effort="high"), "reasoning_effort"),
    (chat(verbosity="low"), "verbosity"),
    (chat(service_tier="flex"), "service_tier"),
    (chat(web_search_options={}), "web_search_options"),
    (chat(moderation={}), "moderation"),
    (chat(stream_options={"include_usage": True}), "stream_options"),
    (chat(stream_options={}, stream=False), "stream_options"),
    (chat(stream_options={"include_obfuscation": True}, stream=True), "stream_options.include_obfuscation"),
    (chat(audio={"voice": 5}), "audio.voice"),
    (chat(audio={"voice": "alloy"}, modalities=["audio"]), "audio.voice"),
    (chat(audio={"voice": ""}), "audio.voice"),
    (chat(n=2), "n"),
    (chat(n=True), "n"),
    (chat(max_tokens=65), "max_tokens"),
    (chat(max_tokens=True), "max_tokens"),
    (chat(max_tokens=10**4000), "max_tokens"),
    (chat(max_completion_tokens=0), "max_completion_tokens"),
    (chat(stream_options={"include_usage": 1}), "stream_options.include_usage"),
    (chat(stop=""), "stop"),
    (chat(stop=5), "stop"),
    (chat(stop=["a", ""]), "stop[1]"),
    (chat(stop=["a"] * 5), "stop"),
    (chat(logprobs=True), "logprobs"),
    (chat(response_format={"type": "json_object"}), "response_format.type"),
    (chat(response_format={}), "response_format.type"),
    (chat(tools={}), "tools"),
    (chat(tools=[tool()] * 3), "tools"),
    (chat(tools=[tool(), tool()]), "tools[1].function.name"),
    (chat(tools=[{"type": "custom", "custom": {}}]), "tools[0].type"),
    (chat(tools=[{"type": "function"}]), "tools[0].function"),
    (chat(tools=[tool("")]), "tools[0].function.name"),
    (chat(tools=[tool("a\n")]), "tools[0].function.name"),
    (chat(tools=[tool(parameters=[])]), "tools[0].function.parameters"),
    (chat(tools=[tool(description="a" * 200)]), "tools[0].function"),
    (chat(tool_choice="required"), "tool_choice"),
    (chat(tool_choice={"type": "allowed_tools"}), "tool_choice"),
    (chat(tool_choice=tool()), "tool_choice"),
    ([], None),
    (5, None),
    (b"", None),
    (b"\xff", None),
    (b"[" * 100_000, None),
    (b'{"model": "\\ud800"}', None),
    (b'{"temperature": ' + b"9" * 5000 + b"}", None),
    (json.dumps(chat(A)).replace('"a"', '"\\ud800"').encode(), None),
    (chat(tools=[tool(parameters={"a": float("nan")})]), "tools[0].function.parameters"),
    (json.dumps(BEYOND_FLOATS).replace("0.5", "1e999").encode(), "tools[0].function.parameters"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
def test_a_refusal_names_the_field(body: Any, param: str | None) -> None:
    error = refusal(body)
    assert error.param == param
    assert error.status == (404 if error.code == "model_not_found" else 400)
    assert len(error.message) < 250


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (chat(temperature=3), "3: input should be less than or equal to 2"),
        (chat(max_tokens=65), "65: expected at most 64"),
        (chat(*[A] * 7), "7 items: expected at most 6"),
        (chat(modalities=["text", "text"]), "['text', 'text']: expected each only once"),
        (chat(audio={"format": "aac"}), "'aac': input should be 'wav', 'pcm16', 'flac', 'mp3' or 'opus'"),
        (chat(5), "5: expected a message whose role is 'system', 'developer', 'user', 'assistant' or 'tool'"),
        (chat({"role": "user"}), "field required"),
        (chat(stop=5), "5: expected a string or a list of strings"),
        (chat(n=2), "2: not supported, expected null or 1"),
        (chat(logprobs=True), "true: not supported, expected null or false"),
        (chat(functions=[]), "[]: not supported, expected null"),
        (chat(audio={"voice": "alloy"}), "voice 'alloy': expected one of ['ada', 'default']"),
        (chat(audio="wav"), "'wav': expected an object"),
        (chat(tools={}), "{}: expected a list"),
        (chat(stream=None, temperature=True), "true: expected a number"),
        (chat(assistant(call("a")), A), "call 'a' has no result: expected a tool message after it for each call"),
    ],
)
def test_a_refusal_names_the_value_and_what_was_expected(body: Any, message: str) -> None:
    assert refusal(body).message == message


PYTHON_NAMES = re.compile(
    r"\b(instance of|NoneType|dict|dictionary|tuple|None|True|False|pydantic|[A-Z][a-z]+([A-Z][a-z]+)+)\b"
)


@pytest.mark.parametrize("body", [body for body, _ in REFUSED])
def test_a_refusal_names_no_python_class(body: Any) -> None:
    assert not PYTHON_NAMES.search(refusal(body).message)


KEYS = ["type", "role", "content", "audio", "data", "id", "text", "name", "function", "arguments", "parameters"]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**4200)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "{}", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(st.characters(), max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
PLAIN = dict.fromkeys(["stream", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "max_tokens", "n"])
SPOKEN = chat(
    {"role": "assistant", "content": "a", "audio": {"id": "b"}},
    user(text("a"), sound(0.01)),
    modalities=["text", "audio"],
    audio={"voice": "default", "format": "wav"},
    stop=["a"],
    response_format={"type": "text"},
    **PLAIN,
)
CALLING = chat(
    user(text("a")),
    assistant(call("a"), content=[text("b")]),
    result("a"),
    tools=[tool(description="c", parameters={"type": "object"})],
    tool_choice="auto",
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


@given(data=st.data(), valid=st.sampled_from([SPOKEN, CALLING]), value=json_values)
@settings(max_examples=400, deadline=None)
def test_any_json_anywhere_is_accepted_or_refused(data: st.DataObject, valid: dict[str, Any], value: Any) -> None:
    body = replaced(valid, data.draw(st.sampled_from(list(places(valid)))), value)
    assert status(body) in (200, 400, 404)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert refusal(body).status == 400
