"""OpenAI's chat completions: the requests as clients send them, checked and turned into a conversation."""

import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from opens2s_core.audio import SAMPLE_RATE, AudioError
from opens2s_core.inference.messages import ReplyRequest, Sampling
from opens2s_core.prompt import Audio, Content, Message, Spoken, Text
from serve_app.audio_codec import STREAMED_FORMATS, AudioFormat, decode_input
from serve_app.config import Limits
from serve_app.errors import ApiError

_SHOWN_CHARS = 60
_MAX_SEED = 2**63
_MAX_UNITS = 2048
_UNITS_PER_TOKEN = 16


class _Wire(BaseModel):
    """Types are not coerced; unknown fields are ignored, as OpenAI's server does."""

    model_config = ConfigDict(strict=True, frozen=True)


class TextPart(_Wire):
    type: Literal["text"]
    text: str


class InputAudio(_Wire):
    data: str
    format: Literal["wav", "mp3", "flac", "ogg", "opus"]


class AudioPart(_Wire):
    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | AudioPart, Field(discriminator="type")]


def _as_parts(content: Any) -> Any:
    """A bare string is one text part; no content at all is no part."""
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class AudioReference(_Wire):
    id: str


class ChatMessage(_Wire):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Part], BeforeValidator(_as_parts)] = []
    audio: AudioReference | None = None


class AudioOut(_Wire):
    """How to speak. There is one voice, so ``voice`` is not read."""

    format: AudioFormat | None = None


class StreamOptions(_Wire):
    include_usage: bool | None = None


class ChatRequest(_Wire):
    """The fields of a chat completion request that mean something here."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    modalities: list[Literal["text", "audio"]] | None = Field(None, min_length=1)
    audio: AudioOut | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-_MAX_SEED, lt=_MAX_SEED)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=1)

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


def parse_chat(body: bytes, *, model: str, limits: Limits) -> ChatRequest:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    try:
        chat = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _complaint(body, error) from error
    if chat.model != model:
        message = f"model {_shown(chat.model)} does not exist: expected '{model}'"
        raise ApiError(404, message, param="model", code="model_not_found")
    if chat.modalities == ["audio"]:
        raise ApiError(400, "['audio']: expected ['text'] or ['text', 'audio']", param="modalities")
    if chat.stream and chat.speak and chat.audio_format not in STREAMED_FORMATS:
        message = f"format '{chat.audio_format}' cannot be streamed: expected one of {list(STREAMED_FORMATS)}"
        raise ApiError(400, message, param="audio.format")
    for name in ("max_tokens", "max_completion_tokens"):
        if (getattr(chat, name) or 0) > limits.max_tokens:
            raise ApiError(400, f"{getattr(chat, name)}: expected at most {limits.max_tokens}", param=name)
    if len(chat.messages) > limits.max_messages:
        raise ApiError(400, f"{len(chat.messages)} messages: expected at most {limits.max_messages}", param="messages")
    return chat


def _complaint(body: bytes, failed: ValidationError) -> ApiError:
    error = failed.errors(include_url=False)[0]
    if error["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {error['msg']}")
    path = list(error["loc"])
    if error["type"].startswith("union_tag"):
        path.append("type")
    message = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] != "missing":
        message = f"{_shown(error['input'])}: {message}"
    return ApiError(400, message, param=_param(json.loads(body), path))


def _param(value: Any, path: list[int | str]) -> str | None:
    """``messages[0].content[1].text`` from pydantic's path, in which the tags of unions stand between the fields."""
    name = ""
    for depth, key in enumerate(path, start=1):
        inside = isinstance(key, int) if isinstance(value, list) else isinstance(value, dict) and key in value
        if inside or depth == len(path):
            name += f"[{key}]" if isinstance(key, int) else f".{key}"
        if inside:
            value = value[key]
    return name.removeprefix(".") or None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "…"


def reply_request(chat: ChatRequest, limits: Limits) -> ReplyRequest:
    """What the stages are asked for; decodes the conversation's sound, so not for the event loop.

    Raises :class:`ApiError` naming the part that cannot be used.
    """
    seed = secrets.randbelow(_MAX_SEED) if chat.seed is None else chat.seed % _MAX_SEED
    max_tokens = chat.max_completion_tokens or chat.max_tokens or Sampling().max_tokens
    text = Sampling(temperature=chat.temperature or 0.0, top_p=chat.top_p or 1.0, max_tokens=max_tokens, seed=seed)
    return ReplyRequest(
        messages=_conversation(chat.messages, limits),
        speak=chat.speak,
        text=text,
        # A voice that finds no end is cut: 16 units are 1.28 s, longer than any token takes to say.
        units=Sampling(max_tokens=min(_MAX_UNITS, _UNITS_PER_TOKEN * max_tokens), seed=seed),
        seed=seed,
    )


def _conversation(messages: list[ChatMessage], limits: Limits) -> tuple[Message, ...]:
    if messages[-1].role != "user":
        param = f"messages[{len(messages) - 1}].role"
        raise ApiError(400, f"'{messages[-1].role}': expected the last message to be the user's", param=param)
    seconds, chars = limits.max_audio_seconds, limits.max_text_chars
    conversation = []
    for i, message in enumerate(messages):
        _check_parts(message, f"messages[{i}]")
        content: list[Content] = []
        for j, part in enumerate(message.content):
            where = f"messages[{i}].content[{j}]"
            if isinstance(part, TextPart):
                chars -= len(part.text)
                if chars < 0:
                    limit = f"expected at most {limits.max_text_chars} characters of text in all messages together"
                    raise ApiError(400, f"too much text: {limit}", param=f"{where}.text")
                content.append(Spoken(part.text) if message.audio is not None else Text(part.text))
            else:
                sound = _sound(part, f"{where}.input_audio.data", seconds)
                seconds -= len(sound.source) / SAMPLE_RATE
                content.append(sound)
        role = "system" if message.role == "developer" else message.role
        conversation.append(Message(role, tuple(content)))
    return tuple(conversation)


def _check_parts(message: ChatMessage, where: str) -> None:
    if not message.content and message.audio is not None:
        expected = "expected the reply's transcript in content, since spoken replies are not kept"
        raise ApiError(400, f"audio {_shown(message.audio.id)}: {expected}", param=f"{where}.audio.id")
    if not message.content:
        raise ApiError(400, "empty: expected text or input_audio", param=f"{where}.content")
    for j, part in enumerate(message.content):
        if isinstance(part, AudioPart) and message.role != "user":
            raise ApiError(400, f"sound in a {message.role} message: expected text", param=f"{where}.content[{j}].type")


def _sound(part: AudioPart, where: str, max_seconds: float) -> Audio:
    try:
        return Audio(decode_input(part.input_audio.data, max_seconds=max_seconds))
    except AudioError as error:
        raise ApiError(400, str(error), param=where) from error
