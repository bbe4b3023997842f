"""The conversation in the browser's storage, from where a reload restores it: JSON, with the audio in base64."""

import base64
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from serve_app.ui.client import Message

MAX_CHARACTERS = 1_500_000
"""Browsers keep 5 MB for each address, some count two bytes a character, and what is stored is encrypted: 4/3 of it."""
_MESSAGE_CHARACTERS = 64  # of JSON around the text and the audio


class StoredMessage(BaseModel):
    """A message of the conversation; ``audio`` is base64."""

    role: Literal["user", "assistant"]
    text: str
    audio: str


_MESSAGES = TypeAdapter(list[StoredMessage])


def store(messages: Sequence[Message], limit: int = MAX_CHARACTERS) -> list[dict[str, Any]]:
    """The newest messages that fit in ``limit`` characters, from a message of the user on."""
    stored: list[StoredMessage] = []
    size = 0
    for message in reversed(messages):
        audio = base64.b64encode(message.audio).decode()
        size += len(message.text) + len(audio) + _MESSAGE_CHARACTERS
        if size > limit:
            break
        stored.insert(0, StoredMessage(role=message.role, text=message.text, audio=audio))
    while stored and stored[0].role == "assistant":
        stored.pop(0)
    return [message.model_dump() for message in stored]


def restore(stored: Any) -> list[Message]:
    """The messages of :func:`store`, without clips; none where ``stored`` is anything else."""
    try:
        messages = _MESSAGES.validate_python(stored)
        return [Message(role=m.role, text=m.text, audio=base64.b64decode(m.audio, validate=True)) for m in messages]
    except ValueError:  # of pydantic or of base64
        return []
