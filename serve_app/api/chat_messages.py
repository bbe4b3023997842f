"""The messages of a chat completion request, as clients write them."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from serve_app.api.strict_json import ModelText, StrictModel, discriminated_by, discriminated_by_type

FunctionName = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]


class TextPart(StrictModel):
    type: Literal["text"]
    text: ModelText


class InputAudio(StrictModel):
    """An audio file; its own first bytes, not ``format``, say how it is read."""

    data: str
    format: Literal["wav", "mp3", "flac", "ogg", "opus", "webm", "m4a", "mp4", "aac"]


class AudioPart(StrictModel):
    type: Literal["input_audio"]
    input_audio: InputAudio


class RefusalPart(StrictModel):
    type: Literal["refusal"]
    refusal: ModelText


_CONTENT = "text or a list of parts"
UserPart = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[AudioPart, Tag("<input_audio>")],
    discriminated_by("type", "a part whose type is 'text' or 'input_audio'"),
]
AssistantPart = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[RefusalPart, Tag("<refusal>")],
    discriminated_by("type", "a part whose type is 'text' or 'refusal'"),
]
_String = Annotated[ModelText, Tag("<str>")]
TextContent = Annotated[
    _String | Annotated[list[TextPart], Field(fail_fast=True), Tag("<list>")], discriminated_by_type(_CONTENT)
]
UserContent = Annotated[
    _String | Annotated[list[UserPart], Field(fail_fast=True), Tag("<list>")], discriminated_by_type(_CONTENT)
]
AssistantContent = Annotated[
    _String | Annotated[list[AssistantPart], Field(fail_fast=True), Tag("<list>")], discriminated_by_type(_CONTENT)
]


class SystemMessage(StrictModel):
    role: Literal["system", "developer"]
    content: TextContent


class UserMessage(StrictModel):
    role: Literal["user"]
    content: UserContent


class SpokenReply(StrictModel):
    """An earlier reply. Clients send back all of it or its id alone; its sound is not read."""

    id: str
    transcript: ModelText | None = None


class CalledFunction(StrictModel):
    name: FunctionName
    arguments: ModelText


class Call(StrictModel):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(StrictModel):
    role: Literal["assistant"]
    content: AssistantContent | None = None
    refusal: ModelText | None = None
    audio: SpokenReply | None = None
    tool_calls: Annotated[list[Call], Field(fail_fast=True)] | None = None


class ToolMessage(StrictModel):
    role: Literal["tool"]
    tool_call_id: str = Field(min_length=1)
    content: TextContent


ChatMessage = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[SystemMessage, Tag("<developer>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    discriminated_by("role", "a message whose role is 'system', 'developer', 'user', 'assistant' or 'tool'"),
]
