"""Conversations, and the one place where they become token ids: for training and for inference alike."""

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Text:
    """Written words."""

    text: str


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound in the conversation. ``source`` is whatever stands for it where it is used: samples, bytes, a path."""

    source: Any


@dataclass(frozen=True, slots=True)
class Spoken:
    """A reply that is said aloud: its words and, for training, its speech units (codebook ids)."""

    text: str
    units: tuple[int, ...] = ()


Content = Text | Audio | Spoken


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: tuple[Content, ...]
