"""Chat completion requests: what they ask of the model, and what is wrong with those that are refused."""

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import encode_audio
from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.prompt import Audio, Message, Spoken, Text, ToolCall
from serve_app.api.audio_codec import AudioFormat
from serve_app.api.chat_request import parse_chat, reply_request
from serve_app.config import Limits
from tests.serve_app.told import refusal_by, understood_by, verdict_by

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


PARSER = partial(parse_chat, model="opens2s", limits=LIMITS)


def read(body: bytes) -> ReplyRequest:
    return reply_request(PARSER(body), LIMITS)


parse = partial(understood_by, PARSER)
understood = partial(understood_by, read)
refusal = partial(refusal_by, read)
verdict = partial(verdict_by, read)


def test_a_conversation_keeps_its_order_and_its_roles() -> None:
    messages = understood(
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
def test_sound_is_asked_for_by_naming_it(modalities: list[str]) -> None:
    assert understood(chat(modalities=modalities)).speak
    assert not understood(chat(modalities=["text"])).speak
    assert not understood(chat()).speak


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
@pytest.mark.parametrize("stream", [True, False])
def test_every_format_is_streamed_and_whole(audio_format: str, stream: bool) -> None:
    asked = parse(chat(modalities=["audio"], audio={"voice": "alloy", "format": audio_format}, stream=stream))
    assert asked.audio_format == audio_format


def test_without_a_format_it_is_what_suits_a_stream_or_a_file() -> None:
    assert (parse(chat(stream=True)).audio_format, parse(chat()).audio_format) == ("pcm16", "wav")


def test_sound_is_handed_out_as_it_is_sent() -> None:
    assert understood(chat()).audio.samples == "int16"
    assert understood(chat()).audio.rate is None


def test_a_reply_is_greedy_unless_asked_otherwise() -> None:
    plain = understood(chat()).text
    assert (plain.temperature, plain.top_k, plain.repetition_penalty) == (0, None, 1)
    fields = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "seed": 7}
    asked = understood(chat(**fields)).text
    assert {name: getattr(asked, name) for name in fields} == fields


def test_the_newer_name_of_a_limit_counts() -> None:
    assert understood(chat(max_completion_tokens=9, max_tokens=3)).text.max_tokens == 9


def test_without_a_seed_each_reply_has_its_own() -> None:
    assert understood(chat()).seed != understood(chat()).seed
    assert understood(chat(seed=-1)).seed >= 0


@pytest.mark.parametrize(("stop", "known"), [(None, ()), ("a", ("a",)), ([], ()), (["a", "\n"], ("a", "\n"))])
def test_stop_is_a_string_or_some(stop: Any, known: tuple[str, ...]) -> None:
    assert understood(chat(stop=stop)).stop == known


def test_tools_reach_the_model_as_their_schemas() -> None:
    weather = tool("weather", description="of a place", parameters={"type": "object", "default": None}, strict=True)
    first, second = understood(chat(tools=[weather, tool("clock")])).tools
    del weather["function"]["strict"]
    assert json.loads(first) == weather
    assert json.loads(second) == tool("clock")


@pytest.mark.parametrize(("choice", "offered"), [(None, 1), ("auto", 1), ("none", 0)])
def test_tools_that_may_not_be_called_are_not_shown(choice: str | None, offered: int) -> None:
    assert len(understood(chat(tools=[tool()], tool_choice=choice)).tools) == offered


def test_a_spoken_reply_cannot_call_tools() -> None:
    assert refusal(chat(tools=[tool()], modalities=["audio"])).param == "tools"
    assert understood(chat(tools=[tool()], tool_choice="none", modalities=["audio"])).speak


def test_calls_and_their_results_are_part_of_the_conversation() -> None:
    asked = assistant(call("a", arguments='{"at": "sea"}'), content="let me look")
    messages = understood(chat(user(text("hello")), asked, result("a"), user(text("thanks")))).messages
    assert messages[1].content == (Text("let me look"), ToolCall("a", "look", '{"at": "sea"}'))
    assert messages[2] == Message("tool", (Text("found"),))


def test_results_come_in_the_order_of_their_calls() -> None:
    given = chat(user(text("hello")), assistant(call("a"), call("b")), result("b", "second"), result("a", "first"))
    assert [message.content for message in understood(given).messages[2:]] == [(Text("first"),), (Text("second"),)]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_the_others_may_say_nothing(role: str) -> None:
    assert understood(chat({"role": role, "content": ""}, user(text("a")))).messages[0].content == (Text(""),)


def test_an_empty_text_beside_a_sound_does_no_harm() -> None:
    assert len(understood(chat(user(text(""), sound(0.1)))).messages[0].content) == 2


def test_what_may_not_ask_for_anything_may_be_there() -> None:
    understood(chat(n=1, logprobs=False, response_format={"type": "text"}, tools=[], user="me", metadata={"a": [1]}))


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
    (chat({"role": "assistant"}, A), "messages[0].content"),
    (chat({"role": "assistant", "audio": {"id": "a"}}, A), "messages[0].audio.id"),
    (chat({"role": "assistant", "content": "", "audio": {"id": "a"}}, A), "messages[0].audio.id"),
    (chat({"role": "assistant", "content": "a", "audio": "b"}, A), "messages[0].audio"),
    (chat(assistant(), A), "messages[0].content"),
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
        (chat(assistant(call("a")), A), "call 'a' has no result: expected a tool message for each call behind"),
    ],
)
def test_a_refusal_tells_what_came_and_what_was_expected(body: Any, message: str) -> None:
    assert refusal(body).message == message


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
    stream_options={"include_usage": True},
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
def test_any_json_anywhere_is_understood_or_refused(data: st.DataObject, valid: dict[str, Any], value: Any) -> None:
    body = replaced(valid, data.draw(st.sampled_from(list(places(valid)))), value)
    assert verdict(body) in (200, 400, 404)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert refusal(body).status == 400
