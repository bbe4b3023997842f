"""OpenAI's chat completions: requests as clients send them, checked and turned into what the stages are asked for."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat, Tag
from pydantic_core import PydanticCustomError

from opens2s_core.inference.messages import OutputFormat, ReplyRequest, Sampling
from serve_app.api.audio_output import AudioFormat
from serve_app.api.chat_conversation import parse_conversation
from serve_app.api.chat_messages import ChatMessage, FunctionName
from serve_app.api.context import ApiContext
from serve_app.api.conversation import ParsedConversation, decode_conversation
from serve_app.api.request_budget import RequestBudget
from serve_app.api.sampling import MAX_SEED, fresh_seed, units_sampling
from serve_app.api.strict_json import (
    ModelText,
    StrictModel,
    check_model,
    discriminated_by_type,
    neutral,
    no_longer_than,
    no_more_than,
    parse_json,
)
from serve_app.api.unsupported_parameters import UnsupportedParameters
from serve_app.errors import ApiError

_MAX_BIASES = 1024
"""Largest number of entries in ``logit_bias``: more than any client sends, few enough to cost a step nothing."""


class AudioParameters(StrictModel):
    format: AudioFormat | None = None
    voice: str | None = None


class StreamOptions(StrictModel):
    include_usage: bool | None = None
    include_obfuscation: Annotated[Any, neutral(False)] = None


class ResponseFormat(StrictModel):
    type: Literal["text"]


class Function(StrictModel):
    """What a tool does. That arguments follow the schema is not enforced, so ``strict`` is not read."""

    name: FunctionName
    description: ModelText | None = None
    parameters: dict[str, Any] | None = None


class Tool(StrictModel):
    type: Literal["function"]
    function: Function


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("duplicate", "expected each only once")
    return values


Modalities = Annotated[list[Literal["text", "audio"]], Field(min_length=1, fail_fast=True), AfterValidator(_distinct)]
StopString = Annotated[ModelText, Field(min_length=1)]
Stop = Annotated[
    Annotated[StopString, Tag("<str>")]
    | Annotated[list[StopString], Field(max_length=4, fail_fast=True), Tag("<list>")],
    discriminated_by_type("a string or a list of strings"),
]
MaxTokens = Annotated[int, Field(ge=1), no_more_than("max_tokens")]
Seed = Annotated[int, Field(ge=-MAX_SEED, lt=MAX_SEED)]
TokenId = Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,8})$")]
Bias = Annotated[FiniteFloat, Field(ge=-100, le=100)]
Penalty = Annotated[FiniteFloat, Field(ge=-2, le=2)]


class ChatBody(UnsupportedParameters):
    """The fields of a chat completion request."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True), no_longer_than("max_messages")]
    modalities: Modalities | None = None
    audio: AudioParameters | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    # Beyond these bounds the largest logits are not finite any more.
    repetition_penalty: FiniteFloat | None = Field(None, ge=0.01, le=100)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Field(max_length=_MAX_BIASES)] | None = None
    seed: Seed | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    stop: Stop | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True), no_longer_than("max_tools")] | None = None
    tool_choice: Annotated[Any, neutral("none", "auto")] = None
    response_format: ResponseFormat | None = None

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the reply may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    def text_sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature or 0.0,
            top_p=self.top_p or 1.0,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty or 1.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            max_tokens=self.max_completion_tokens or self.max_tokens or Sampling().max_tokens,
            seed=fresh_seed() if self.seed is None else self.seed % MAX_SEED,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """A request whose every field is valid; only its audio is not decoded yet. ``tools`` are JSON texts."""

    model: str
    stream: bool
    include_usage: bool
    speak: bool
    audio_format: AudioFormat
    voice: str
    text: Sampling
    stop: tuple[str, ...]
    tools: tuple[str, ...]
    conversation: ParsedConversation

    @property
    def audio_ids(self) -> tuple[str, ...]:
        """The earlier spoken replies whose transcripts :func:`chat_reply_request` needs in the context."""
        return self.conversation.audio_ids


def parse_chat(body: bytes, context: ApiContext) -> ChatRequest:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    chat = parse_json(ChatBody, body, context.limits)
    check_model(chat.model, context.model)
    if chat.stream_options is not None and not chat.stream:
        raise ApiError(400, "expected stream_options only with stream: true", param="stream_options")
    audio = chat.audio or AudioParameters()
    voice = context.check_voice(audio.voice, "audio.voice")
    speak = "audio" in (chat.modalities or ())
    _check_tools(chat, speak, context)
    budget = RequestBudget(context.limits)
    messages = parse_conversation(chat.messages, budget)
    tools = _tool_texts(chat.offered_tools, budget)
    return ChatRequest(
        model=chat.model,
        stream=bool(chat.stream),
        include_usage=bool(chat.stream_options and chat.stream_options.include_usage),
        speak=speak,
        # The default is what suits a stream or a file.
        audio_format=audio.format or ("pcm16" if chat.stream else "wav"),
        voice=voice,
        text=chat.text_sampling(),
        stop=(chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ()),
        tools=tools,
        conversation=ParsedConversation(messages, budget.text_chars),
    )


def chat_reply_request(chat: ChatRequest, context: ApiContext) -> ReplyRequest:
    """What the stages are asked for. It decodes the conversation's audio, so it does not run on the event loop.

    Raises :class:`ApiError` naming the field that cannot be used.
    """
    return ReplyRequest(
        messages=decode_conversation(chat.conversation, context),
        speak=chat.speak,
        tools=chat.tools,
        text=chat.text,
        units=units_sampling(chat.text.max_tokens, chat.text.seed, context),
        stop=chat.stop,
        audio=OutputFormat(samples="int16"),
        seed=chat.text.seed,
        speaker=context.voices[chat.voice],
    )


def _check_tools(chat: ChatBody, speak: bool, context: ApiContext) -> None:
    if not chat.offered_tools:
        return
    if speak:
        raise ApiError(400, "a spoken reply cannot call tools: expected modalities ['text']", param="tools")
    if not context.writes_tools:
        raise ApiError(400, "this model cannot call tools: its tokenizer has no chat template", param="tools")


def _tool_texts(tools: list[Tool], budget: RequestBudget) -> tuple[str, ...]:
    """Each as JSON. Raises :class:`ApiError`."""
    texts = []
    names: set[str] = set()
    for i, function in enumerate(tool.function for tool in tools):
        param = f"tools[{i}].function"
        if function.name in names:
            raise ApiError(400, f"'{function.name}': expected each name only once", param=f"{param}.name")
        names.add(function.name)
        fields = {key: value for key, value in function if value is not None}
        try:
            text = json.dumps({"type": "function", "function": fields}, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise ApiError(400, f"not JSON: {error}", param=f"{param}.parameters") from error
        texts.append(budget.text(text, param))
    return tuple(texts)
