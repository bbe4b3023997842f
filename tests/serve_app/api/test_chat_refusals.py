"""Chat completion requests that are refused, and which field each refusal names."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve_app.api.chat_bodies import assistant, audio_part, call, chat, refusal, result, status, text, tool, user

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
    (chat(user(audio_part(0))), "messages[0].content[0].input_audio.data"),
    (chat(user(audio_part(2.1))), "messages[0].content[0].input_audio.data"),
    (chat(user(audio_part(1.5), audio_part(1.5))), "messages[0].content[1].input_audio.data"),
    (chat({"role": "system", "content": [audio_part(1)]}, A), "messages[0].content[0].type"),
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
    user(text("a"), audio_part(0.01)),
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
