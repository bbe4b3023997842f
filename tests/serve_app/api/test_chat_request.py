"""Chat completion requests: what they ask of the model."""

import json
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pytest
from openai._utils import maybe_transform
from openai.types.chat import ChatCompletionAudio, ChatCompletionMessage, ChatCompletionMessageParam

from opens2s_core.prompt import Audio, Message, Spoken, Text, ToolCall
from serve_app.api.audio_output import AudioFormat
from serve_app.api.chat_request import chat_reply_request, parse_chat
from serve_app.errors import ApiError
from tests.serve_app.api.chat_bodies import (
    CONTEXT,
    SPEAKER,
    assistant,
    audio_part,
    call,
    chat,
    parse,
    read,
    refusal,
    requested,
    result,
    text,
    tool,
    user,
)
from tests.serve_app.fake_reply import refusal_by


def test_a_conversation_keeps_its_order_and_its_roles() -> None:
    messages = requested(
        chat(
            {"role": "developer", "content": "be kind"},
            user(text("listen"), audio_part(0.5)),
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


def test_an_empty_text_beside_audio_is_accepted() -> None:
    assert len(requested(chat(user(text(""), audio_part(0.1)))).messages[0].content) == 2


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
    messages = requested(
        chat(user(audio_part(0.1)), sdk_message(transcript=transcript), user(audio_part(0.1)))
    ).messages
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
