"""OpenAI's chat completions: the requests as clients send them, checked and turned into a conversation."""

import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat, Tag
from pydantic_core import PydanticCustomError

from opens2s_core.inference.messages import ReplyRequest, Sampling, SoundFormat
from serve_app.api.audio_codec import AudioFormat
from serve_app.api.chat_messages import ChatMessage, FunctionName, conversation
from serve_app.api.strict_json import (
    Allowance,
    Wire,
    Words,
    check_model,
    no_longer_than,
    no_more_than,
    parsed,
    told_by_type,
)
from serve_app.config import Limits
from serve_app.errors import ApiError

_MAX_SEED = 2**63
_MAX_UNITS = 2048
_UNITS_PER_TOKEN = 16


class AudioOut(Wire):
    """How to speak. There is one voice, so ``voice`` is not read."""

    format: AudioFormat | None = None


class StreamOptions(Wire):
    include_usage: bool | None = None


class ResponseFormat(Wire):
    type: Literal["text"]


class Function(Wire):
    """What a tool does; that its arguments follow the schema is not enforced, so ``strict`` is not read."""

    name: FunctionName
    description: Words | None = None
    parameters: dict[str, Any] | None = None


class Tool(Wire):
    type: Literal["function"]
    function: Function


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "expected each only once")
    return values


Modalities = Annotated[list[Literal["text", "audio"]], Field(min_length=1, fail_fast=True), AfterValidator(_distinct)]
StopString = Annotated[Words, Field(min_length=1)]
Stop = Annotated[
    Annotated[StopString, Tag("<str>")]
    | Annotated[list[StopString], Field(max_length=4, fail_fast=True), Tag("<list>")],
    told_by_type("a string or a list of strings"),
]
MaxTokens = Annotated[int, Field(ge=1), no_more_than("max_tokens")]


class ChatRequest(Wire):
    """The fields of a chat completion request that mean something here, and some that may not ask for anything."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True), no_longer_than("max_messages")]
    modalities: Modalities | None = None
    audio: AudioOut | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    # Beyond these the largest logits are no numbers any more.
    repetition_penalty: FiniteFloat | None = Field(None, ge=0.01, le=100)
    seed: int | None = Field(None, ge=-_MAX_SEED, lt=_MAX_SEED)
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    stop: Stop | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True), no_longer_than("max_tools")] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    n: int | None = Field(None, ge=1, le=1)
    logprobs: Literal[False] | None = None
    response_format: ResponseFormat | None = None

    @property
    def speak(self) -> bool:
        return "audio" in (self.modalities or ["text"])

    @property
    def audio_format(self) -> AudioFormat:
        """What was asked for; by default what suits a stream or a file."""
        asked = self.audio.format if self.audio else None
        return asked or ("pcm16" if self.stream else "wav")

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def offered(self) -> list[Tool]:
        """The tools that the reply may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def parse_chat(body: bytes, *, model: str, limits: Limits) -> ChatRequest:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    chat = parsed(ChatRequest, body, limits)
    check_model(chat.model, model)
    if chat.speak and chat.offered:
        raise ApiError(400, "a spoken reply cannot call tools: expected modalities ['text']", param="tools")
    return chat


def reply_request(chat: ChatRequest, limits: Limits) -> ReplyRequest:
    """What the stages are asked for; decodes the conversation's sound, so not for the event loop.

    Raises :class:`ApiError` naming the part that cannot be used.
    """
    seed = fresh_seed() if chat.seed is None else chat.seed % _MAX_SEED
    text = Sampling(
        temperature=chat.temperature or 0.0,
        top_p=chat.top_p or 1.0,
        top_k=chat.top_k,
        repetition_penalty=chat.repetition_penalty or 1.0,
        max_tokens=chat.max_completion_tokens or chat.max_tokens or Sampling().max_tokens,
        seed=seed,
    )
    allowance = Allowance(limits)
    return ReplyRequest(
        messages=conversation(chat.messages, allowance),
        speak=chat.speak,
        tools=_schemas(chat.offered, allowance),
        text=text,
        units=units_sampling(text),
        stop=chat.stops,
        audio=SoundFormat(samples="int16"),
        seed=seed,
    )


def fresh_seed() -> int:
    """For a reply that was asked for without one."""
    return secrets.randbelow(_MAX_SEED)


def units_sampling(text: Sampling) -> Sampling:
    """How a reply of at most so much text is spoken."""
    # A voice that finds no end is cut: 16 units are 1.28 s, longer than any token takes to say.
    return Sampling(max_tokens=min(_MAX_UNITS, _UNITS_PER_TOKEN * text.max_tokens), seed=text.seed)


def _schemas(tools: list[Tool], allowance: Allowance) -> tuple[str, ...]:
    """Each as JSON. Raises :class:`ApiError`."""
    schemas = []
    names: set[str] = set()
    for i, function in enumerate(tool.function for tool in tools):
        where = f"tools[{i}].function"
        if function.name in names:
            raise ApiError(400, f"'{function.name}': expected each name only once", param=f"{where}.name")
        names.add(function.name)
        told = {key: value for key, value in function if value is not None}
        try:
            schema = json.dumps({"type": "function", "function": told}, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise ApiError(400, f"not JSON: {error}", param=f"{where}.parameters") from error
        schemas.append(allowance.words(schema, where))
    return tuple(schemas)
