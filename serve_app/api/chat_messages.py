"""The messages of a chat completion request, and the conversation that they are."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, Tag

from opens2s_core.prompt import Content, Message, Spoken, Text, ToolCall
from serve_app.api.strict_json import Allowance, Wire, Words, shown, told_by_field, told_by_type
from serve_app.errors import ApiError

FunctionName = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]


class TextPart(Wire):
    type: Literal["text"]
    text: Words


class InputAudio(Wire):
    data: str
    format: Literal["wav", "mp3", "flac", "ogg", "opus"]


class AudioPart(Wire):
    type: Literal["input_audio"]
    input_audio: InputAudio


_PARTS = "a part whose type is 'text' or 'input_audio'"
_CONTENT = "text or a list of parts"
Part = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[AudioPart, Tag("<input_audio>")], told_by_field("type", _PARTS)
]
_String = Annotated[Words, Tag("<str>")]
WrittenContent = Annotated[
    _String | Annotated[list[TextPart], Field(fail_fast=True), Tag("<list>")], told_by_type(_CONTENT)
]
UserContent = Annotated[_String | Annotated[list[Part], Field(fail_fast=True), Tag("<list>")], told_by_type(_CONTENT)]


class SystemMessage(Wire):
    role: Literal["system", "developer"]
    content: WrittenContent


class UserMessage(Wire):
    role: Literal["user"]
    content: UserContent


class AudioReference(Wire):
    id: str


class FunctionCall(Wire):
    name: FunctionName
    arguments: Words


class Call(Wire):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: FunctionCall


class AssistantMessage(Wire):
    role: Literal["assistant"]
    content: WrittenContent | None = None
    audio: AudioReference | None = None
    tool_calls: Annotated[list[Call], Field(fail_fast=True)] | None = None


class ToolMessage(Wire):
    role: Literal["tool"]
    tool_call_id: str = Field(min_length=1)
    content: WrittenContent


ChatMessage = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[SystemMessage, Tag("<developer>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    told_by_field("role", "a message whose role is 'system', 'developer', 'user', 'assistant' or 'tool'"),
]


def conversation(messages: Sequence[ChatMessage], allowance: Allowance) -> tuple[Message, ...]:
    """What the model is told; decodes sound. Raises :class:`ApiError` naming the part that cannot be used."""
    last = messages[-1]
    if not isinstance(last, UserMessage | ToolMessage):
        complaint = f"'{last.role}': expected the last message to be the user's or a tool's"
        raise ApiError(400, complaint, param=f"messages[{len(messages) - 1}].role")
    order = _results_by_call(messages)
    turns = [_turn(message, f"messages[{i}]", allowance) for i, message in enumerate(messages)]
    return tuple(turns[i] for i in order)


def _turn(message: ChatMessage, where: str, allowance: Allowance) -> Message:
    match message:
        case SystemMessage():
            return Message("system", tuple(map(Text, _written(message.content, where, allowance))))
        case UserMessage():
            return Message("user", tuple(_said(message.content, where, allowance)))
        case AssistantMessage():
            return Message("assistant", tuple(_replied(message, where, allowance)))
        case ToolMessage():
            return Message("tool", tuple(map(Text, _written(message.content, where, allowance))))


def _written(content: str | Sequence[TextPart], where: str, allowance: Allowance) -> list[str]:
    if isinstance(content, str):
        return [allowance.words(content, f"{where}.content")]
    if not content:
        raise ApiError(400, "empty: expected text", param=f"{where}.content")
    return [allowance.words(part.text, f"{where}.content[{j}].text") for j, part in enumerate(content)]


def _said(content: str | Sequence[Part], where: str, allowance: Allowance) -> list[Content]:
    if isinstance(content, str):
        said: list[Content] = [Text(allowance.words(content, f"{where}.content"))]
    else:
        said = [_heard_or_read(part, f"{where}.content[{j}]", allowance) for j, part in enumerate(content)]
    if all(item == Text("") for item in said):
        raise ApiError(400, "empty: expected text or input_audio", param=f"{where}.content")
    return said


def _heard_or_read(part: Part, where: str, allowance: Allowance) -> Content:
    if isinstance(part, TextPart):
        return Text(allowance.words(part.text, f"{where}.text"))
    return allowance.sound(part.input_audio.data, f"{where}.input_audio.data")


def _replied(message: AssistantMessage, where: str, allowance: Allowance) -> list[Content]:
    words = _written(message.content, where, allowance) if message.content is not None else []
    calls = [
        _call(call, f"{where}.tool_calls[{j}].function", allowance) for j, call in enumerate(message.tool_calls or ())
    ]
    if message.audio is not None:
        spoken = [Spoken(text) for text in words if text]
        if not spoken:
            expected = "expected the reply's transcript in content, since spoken replies are not kept"
            raise ApiError(400, f"audio {shown(message.audio.id)}: {expected}", param=f"{where}.audio.id")
        return [*spoken, *calls]
    if not words and not calls:
        raise ApiError(400, "empty: expected text or tool_calls", param=f"{where}.content")
    return [*map(Text, words), *calls]


def _call(call: Call, where: str, allowance: Allowance) -> ToolCall:
    name = allowance.words(call.function.name, f"{where}.name")
    arguments = allowance.words(call.function.arguments, f"{where}.arguments")
    try:
        return ToolCall(call.id, name, arguments)
    except ValueError as error:
        raise ApiError(400, str(error), param=f"{where}.arguments") from error


def _results_by_call(messages: Sequence[ChatMessage]) -> list[int]:
    """Places of the messages, what tools gave in the order of the calls: the model has nothing else to tell them by."""
    order: list[int] = []
    results: dict[str, int | None] = {}  # where each call of the last assistant message is answered
    for i, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if results.get(message.tool_call_id, i) is not None:
                expected = "expected the id of a call that the assistant message before made, each once"
                param = f"messages[{i}].tool_call_id"
                raise ApiError(400, f"{shown(message.tool_call_id)}: {expected}", param=param)
            results[message.tool_call_id] = i
            continue
        order += _answered(results, i)
        order.append(i)
        calls = (message.tool_calls if isinstance(message, AssistantMessage) else None) or ()
        results = dict.fromkeys(call.id for call in calls)
        if len(results) < len(calls):
            raise ApiError(400, "two calls have the same id", param=f"messages[{i}].tool_calls")
    return order + _answered(results, len(messages))


def _answered(results: dict[str, int | None], i: int) -> list[int]:
    """Where the calls made before message ``i`` are answered."""
    places = [place for place in results.values() if place is not None]
    if len(places) < len(results):
        missing = next(call for call, place in results.items() if place is None)
        message = f"call {shown(missing)} has no result: expected a tool message for each call behind"
        raise ApiError(400, message, param=f"messages[{i - len(places) - 1}].tool_calls")
    return places
