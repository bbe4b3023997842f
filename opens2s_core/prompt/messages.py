"""The messages of a conversation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT_SYSTEM = "You are a helpful assistant."
SPEAKER_DIM = 512
"""Size of a speaker vector of the published weights; that of a model is ``OpenS2SConfig.speaker_dim``."""
READ_ALOUD_PROMPT = "Read the following text aloud, word for word:\n"
"""Instruction before a text to be read, see :func:`read_aloud`."""

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Written text."""

    text: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio in the conversation. ``source`` is samples, bytes or a path, as the consumer of the prompt expects."""

    source: Any


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken reply: its text and, for training, its speech units (codebook ids) and its speaker vector (empty if
    unknown)."""

    text: str
    units: tuple[int, ...] = ()
    speaker: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call in a written reply. ``ValueError`` if ``arguments`` is not the text of a JSON object."""

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        json_object(self.arguments, f"arguments of {self.name!r}")


Content = Text | Audio | Spoken | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation. Only user messages hold audio; only assistant messages hold spoken text, which is
    not empty, and tool calls, which follow the text. The result of a tool is a ``tool`` message. If the first message
    is an empty system message, there is no system message; without a system message first, the default one is used."""

    role: Role
    content: tuple[Content, ...]


def read_aloud(text: str, instructions: str | None = None) -> tuple[Message, ...]:
    """A conversation that requests ``text`` as the spoken reply; ``instructions`` describe the way of reading.

    The wording is our own: the paper (arXiv 2507.05177, appendix, stage 2) mentions "a structured prompt" but does not
    give it. Training for text-to-speech should use the same one.
    """
    system = Message("system", (Text(instructions or DEFAULT_SYSTEM),))
    return system, Message("user", (Text(READ_ALOUD_PROMPT), Text(text)))


_OWNERS: dict[type[Content], Role] = {Audio: "user", Spoken: "assistant", ToolCall: "assistant"}


def normalised_messages(messages: Sequence[Message]) -> list[Message]:
    """The messages, checked, with the default system message added or an empty one removed."""
    for message in messages:
        for item in message.content:
            owner = _OWNERS.get(type(item), message.role)
            if message.role != owner:
                kind = type(item).__name__
                raise ValueError(f"a {message.role} message cannot hold {kind}: only {owner} messages can")
            if isinstance(item, Spoken) and not item.text:
                raise ValueError(f"a spoken reply of {len(item.units)} units has no text: expected some")
    if not messages or messages[0].role != "system":
        return [Message("system", (Text(DEFAULT_SYSTEM),)), *messages]
    empty = all(item == Text("") for item in messages[0].content)
    return list(messages[1:] if empty else messages)


def uses_tools(message: Message) -> bool:
    return message.role == "tool" or any(isinstance(item, ToolCall) for item in message.content)


def audio_sources(message: Message) -> list[Any]:
    return [item.source for item in message.content if isinstance(item, Audio)]


def json_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object. ``ValueError`` for other JSON, numbers that are not finite and incomplete characters."""
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
