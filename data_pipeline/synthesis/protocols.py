"""What writes, speaks and transcribes dialogues: a language model, a text-to-speech server and a recogniser, or what
this package carries where none is at hand.

Each is one protocol. Implementations are safe to use from several threads, and give the same results for the same
requests where what is behind them does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from data_pipeline.records import Age, Emotion, Gender, RejectedRow
from opens2s_core.audio import Waveform


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """The labels of whoever speaks a user's messages. An empty label is an unknown one."""

    gender: Gender = ""
    age: Age = ""
    emotion: Emotion = "neutral"


@dataclass(frozen=True, kw_only=True, slots=True)
class UserTurnRequest:
    """A wish for ``count`` different first messages of users on ``topic``, such that it matters who speaks and how.

    ``examples`` are messages of other topics, to show what is wanted.
    """

    topic: str
    person: Person
    count: int
    language: str = "en"  # ISO 639-1
    examples: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenMessage:
    """A message as text. ``person`` is of users alone."""

    role: str  # "user" or "assistant"
    text: str
    person: Person | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyRequest:
    """A dialogue so far. ``system`` names a role or a tone for the assistant, or is empty."""

    messages: tuple[WrittenMessage, ...]
    system: str = ""
    language: str = "en"
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReply:
    """What the assistant answers, and in which tone it is spoken: a few words such as ``warm and calm``."""

    text: str
    tone: str


class Writer(Protocol):
    """Writes dialogues. Each result is that of the request at its position, or why there is none."""

    @property
    def name(self) -> str:
        """With version or model, for the provenance of rows."""
        ...

    @property
    def topics(self) -> tuple[str, ...]:
        """On which it matters who speaks and how."""
        ...

    @property
    def general_topics(self) -> tuple[str, ...]:
        """Of everyday questions."""
        ...

    def user_turns(self, requests: Sequence[UserTurnRequest]) -> list[list[str] | RejectedRow]:
        """First messages of users; there may be fewer than wanted."""
        ...

    def replies(self, requests: Sequence[ReplyRequest]) -> list[WrittenReply | RejectedRow]:
        """The assistant's answer to the last message, a user's, its words and its emotion."""
        ...

    def follow_ups(self, requests: Sequence[ReplyRequest]) -> list[str | RejectedRow]:
        """What the same user says next, after the assistant's last message."""
        ...


class Editor(Protocol):
    """Turns existing text instructions into what people say. Results as of :class:`Writer`."""

    @property
    def name(self) -> str: ...

    def rewrite_for_speech(
        self, instructions: Sequence[str], *, language: str = "en", seed: int = 0
    ) -> list[str | RejectedRow]:
        """Typed instructions in ``language`` as a person would say them; those that do not suit speech are rejected."""
        ...

    def translate(self, texts: Sequence[str], language: str, *, seed: int = 0) -> list[str | RejectedRow]:
        """Spoken messages in ``language``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceClip:
    """A clip whose voice and emotion are cloned."""

    audio: bytes  # encoded
    text: str  # what is spoken in it


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRequest:
    """``voice`` is a name of the speaker's own voices, or there is a ``reference`` to clone. ``emotion`` is how a user
    feels, ``tone`` how a reply is delivered; the rest of the prosody is drawn with ``seed``."""

    text: str
    voice: str = ""
    reference: ReferenceClip | None = None
    emotion: Emotion = "neutral"
    tone: str = ""
    language: str = "en"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    samples: Waveform  # mono, in [-1, 1]
    rate: int  # Hz


class Speaker(Protocol):
    """Text to speech."""

    @property
    def name(self) -> str:
        """With version or model, for the provenance of rows."""
        ...

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`RejectedRow` for what cannot be spoken."""
        ...


class Recogniser(Protocol):
    """Speech to text."""

    @property
    def name(self) -> str:
        """With version or model, for the provenance of rows."""
        ...

    def transcribe(self, speech: Speech, language: str) -> str:
        """Raises :class:`RejectedRow` where there is no answer."""
        ...
