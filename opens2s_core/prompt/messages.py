"""The messages of a conversation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT_SYSTEM = "You are a helpful assistant."
SPEAKER_DIM = 512
"""Numbers in a speaker vector of the published weights; those of a model are ``OpenS2SConfig.speaker_dim``."""
READ_ALOUD = "Read the following text aloud, word for word:\n"
"""The user's text before one that is to be read, see :func:`reading`."""

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Written text."""

    text: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio in the conversation. ``source`` is of the type that its user takes: samples, bytes or a path."""

    source: Any


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken reply: its text and, for training, its speech units (codebook ids) and its speaker's
    vector (empty where unknown)."""

    text: str
    units: tuple[int, ...] = ()
    speaker: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that a written reply asks for; ``arguments`` are the text of a JSON object, else ``ValueError``."""

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        json_object(self.arguments, f"arguments of {self.name!r}")


Content = Text | Audio | Spoken | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation. Audio belongs to the user; spoken text, never empty, and tool calls to the
    assistant, calls after the text. A tool's result is a ``tool`` message. An empty first system message means no
    system message; without a first system message there is the default one."""

    role: Role
    content: tuple[Content, ...]


def reading(text: str, instructions: str | None = None) -> tuple[Message, ...]:
    """The conversation whose reply is ``text``, spoken; ``instructions`` say how to read it.

    The paper (arXiv 2507.05177, appendix, stage 2) has the LLM process such text "using a structured prompt" that it
    does not give, so this wording is our own. A training stage for text-to-speech should use it too.
    """
    system = Message("system", (Text(instructions or DEFAULT_SYSTEM),))
    return system, Message("user", (Text(READ_ALOUD), Text(text)))


_OWNERS: dict[type[Content], Role] = {Audio: "user", Spoken: "assistant", ToolCall: "assistant"}


def written_messages(messages: Sequence[Message]) -> list[Message]:
    """The messages that are written: with the default system message, or without an empty one."""
    for message in messages:
        for item in message.content:
            owner = _OWNERS.get(type(item), message.role)
            if message.role != owner:
                kind = type(item).__name__
                raise ValueError(f"a {message.role} message cannot hold {kind}: expected it in {owner} messages only")
            if isinstance(item, Spoken) and not item.text:
                raise ValueError(f"a spoken reply of {len(item.units)} units has no words: expected some")
    if not messages or messages[0].role != "system":
        return [Message("system", (Text(DEFAULT_SYSTEM),)), *messages]
    silent = all(item == Text("") for item in messages[0].content)
    return list(messages[1:] if silent else messages)


def is_about_tools(message: Message) -> bool:
    return message.role == "tool" or any(isinstance(item, ToolCall) for item in message.content)


def audio_sources(message: Message) -> list[Any]:
    return [item.source for item in message.content if isinstance(item, Audio)]


def json_object(text: str, what: str) -> dict[str, Any]:
    """``ValueError`` for a text that is no JSON object of finite numbers and whole characters."""
    try:
        value = json.loads(text)
        as_json(value).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: expected JSON, {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a JSON object, got {type(value).__name__}")
    return value


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
