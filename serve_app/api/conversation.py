"""A conversation whose text is checked and whose audio is not decoded yet: decoding takes time, and so comes later."""

from collections.abc import Sequence
from dataclasses import dataclass

from opens2s_core.prompt import Audio, Content, Message, Role, Spoken, Text, ToolCall
from serve_app.api.context import ApiContext
from serve_app.api.request_budget import RequestBudget
from serve_app.api.strict_json import shown
from serve_app.errors import ApiError


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """An audio file in base64; ``param`` is the field of the request that holds it."""

    data: str
    param: str


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An earlier spoken reply that the request names by its id, in the field ``param``."""

    audio_id: str
    param: str


ParsedContent = Text | Spoken | ToolCall | EncodedAudio | StoredReply


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    role: Role
    content: tuple[ParsedContent, ...]


@dataclass(frozen=True, slots=True)
class ParsedConversation:
    """``text_chars`` is how many characters the request holds so far, tools included."""

    messages: tuple[ParsedMessage, ...]
    text_chars: int

    @property
    def audio_ids(self) -> tuple[str, ...]:
        """The earlier replies that the request names, each once."""
        stored = (item for message in self.messages for item in message.content if isinstance(item, StoredReply))
        return tuple(dict.fromkeys(reply.audio_id for reply in stored))


def spoken(transcript: str) -> Text | Spoken:
    """A spoken reply that said ``transcript``."""
    return Spoken(transcript) if transcript else Text("")


def decode_conversation(conversation: ParsedConversation, context: ApiContext) -> tuple[Message, ...]:
    """The messages with their audio as samples at 16 kHz and with the transcripts of earlier replies.

    Raises :class:`ApiError` naming the field that cannot be used.
    """
    budget = RequestBudget(context.limits, text_chars=conversation.text_chars)
    return tuple(Message(message.role, _decode(message.content, budget, context)) for message in conversation.messages)


def _decode(content: Sequence[ParsedContent], budget: RequestBudget, context: ApiContext) -> tuple[Content, ...]:
    decoded: list[Content] = []
    for item in content:
        match item:
            case EncodedAudio(data, param):
                decoded.append(Audio(budget.audio(data, param)))
            case StoredReply(audio_id, param):
                decoded.append(spoken(budget.text(_transcript(audio_id, param, context), param)))
            case _:
                decoded.append(item)
    return tuple(decoded)


def _transcript(audio_id: str, param: str, context: ApiContext) -> str:
    transcript = context.transcripts.get(audio_id)
    if transcript is None:
        expected = "expected the id of a spoken reply of the last hour, or its transcript beside it"
        raise ApiError(400, f"audio {shown(audio_id)} is unknown or expired: {expected}", param=param)
    return transcript
