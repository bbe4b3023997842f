"""The conversation of one browser tab: its messages, and the reply that is coming in.

At most one reply is current. A new message or a stop ends it at once; each reply has a stop event of its own, so what
ends one never touches the next. What an ended reply leaves in the history is the text whose audio was played.
"""

import asyncio
import base64
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from opens2s_core.audio import encode_audio
from serve_app.ui.client import Delta, Message

CHARACTERS_PER_SECOND = 15.0
"""The pace of English speech; an estimate until a reply of the conversation is complete."""
_FIRST_CJK = "\u2e80"  # from here on a character is a word of its own
_PLAYED_MARGIN = 0.1  # seconds: a reply that was stopped so shortly before its end was played whole


@dataclass(frozen=True, slots=True)
class PlayedPosition:
    """How far the browser has played: seconds of the audio of reply ``reply``."""

    reply: int
    seconds: float


@dataclass(slots=True)
class IncomingReply:
    """A reply while it comes in. Times are seconds since the request."""

    number: int
    speak: bool = True
    accepted: bool = False
    text: str = ""
    rate: int = 0
    chunks: list[str] = field(default_factory=list)
    first_text: float | None = None
    first_audio: float | None = None
    total: float | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _requested: float = field(default_factory=time.monotonic)

    @property
    def phase(self) -> str:
        """What the person waits for; empty when nothing more is to come."""
        if self.total is not None:
            return ""
        if not self.accepted:
            return "waiting for a free slot"
        if not self.speak:
            return "writing" if self.text else "thinking"
        return "speaking" if self.chunks else "thinking"

    def add(self, delta: Delta) -> None:
        now = self.elapsed()
        self.accepted = True
        if delta.text:
            self.text += delta.text
            self.first_text = self.first_text or now
        if delta.pcm:
            self.rate = delta.rate
            self.chunks.append(delta.pcm)
            self.first_audio = self.first_audio or now

    def end(self) -> None:
        """No more is to come, or wanted."""
        self.total = self.total or self.elapsed()
        self.stop.set()

    def elapsed(self) -> float:
        return time.monotonic() - self._requested

    def samples(self) -> NDArray[np.float32]:
        """All samples so far, mono in [-1, 1]."""
        pcm = b"".join(map(base64.b64decode, self.chunks))
        return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)

    def seconds(self) -> float:
        """Seconds of audio so far."""
        return len(self.samples()) / self.rate if self.rate else 0.0


@dataclass(slots=True)
class Conversation:
    """The messages, oldest first, and the newest reply. ``failed`` when that reply ended with an error."""

    messages: list[Message] = field(default_factory=list)
    failed: bool = False
    reply: IncomingReply | None = None
    _replies: int = 0
    _complete_characters: int = 0
    _complete_seconds: float = 0.0

    @property
    def can_retry(self) -> bool:
        """Whether the last message can be sent again: its reply failed, or was stopped before any of it was played."""
        unanswered = bool(self.messages) and self.messages[-1].role == "user"
        return (self.failed or unanswered) and (self.reply is None or self.reply.total is not None)

    def send(self, message: Message, *, speak: bool) -> IncomingReply:
        """Append the user's message and make its reply the current one. The former reply must have ended.

        A message that failed without a reply leaves the history: one that the endpoint refuses must not spoil the next.
        """
        assert self.reply is None or self.reply.total is not None, "the former reply is still coming in"
        if self.failed and self.messages[-1].role == "user":
            self.messages.pop()
        self.failed = False
        self.messages.append(message)
        self._replies += 1
        self.reply = IncomingReply(self._replies, speak)
        return self.reply

    def withdraw(self) -> Message | None:
        """Remove the last message of the user, and what came in reply; returns it to be sent again."""
        while self.messages:
            message = self.messages.pop()
            if message.role == "user":
                self.failed = False
                return message
        return None

    def complete(self, reply: IncomingReply) -> None:
        """All of ``reply`` has come: it becomes a message. Does nothing when it was stopped before."""
        if reply.stop.is_set():
            return
        reply.end()
        if not reply.text and not reply.chunks:
            self.failed = True
            return
        self._complete_characters += len(reply.text)
        self._complete_seconds += reply.seconds()
        self.messages.append(_as_message(reply.text, reply.samples(), reply.rate))

    def fail(self, reply: IncomingReply) -> None:
        """``reply`` ended with an error: what had come becomes a message. Does nothing when it was stopped before."""
        if reply.stop.is_set():
            return
        reply.end()
        self.failed = True
        self._append(self._played(reply, reply.seconds(), complete=False))

    def stop(self, played: PlayedPosition | None) -> None:
        """End the current reply, and keep of it what was played. Of a reply that is complete but not yet played, too;
        ``None``, when the browser does not know how far it played, keeps that one whole."""
        reply, self.reply = self.reply, None
        if reply is None:
            return
        seconds = played.seconds if played is not None and played.reply == reply.number else 0.0
        if reply.total is None:
            reply.end()
            self._append(self._played(reply, seconds, complete=False))
        elif not self.failed and played is not None and reply.speak and seconds < reply.seconds() - _PLAYED_MARGIN:
            self.messages.pop()
            self._append(self._played(reply, seconds, complete=True))

    def clear(self) -> None:
        """End the current reply and forget everything."""
        if self.reply is not None:
            self.reply.end()
        self.messages.clear()
        self.failed, self.reply = False, None

    def _append(self, message: Message) -> None:
        if message.text:
            self.messages.append(message)

    def _played(self, reply: IncomingReply, seconds: float, *, complete: bool) -> Message:
        """The first ``seconds`` of the reply's audio, and the text that belongs to them; of a reply without audio all
        its text."""
        if not reply.speak:
            return Message(role="assistant", text=reply.text)
        pace = CHARACTERS_PER_SECOND
        if self._complete_characters and self._complete_seconds:
            pace = self._complete_characters / self._complete_seconds
        # While a reply comes in, its text is ahead of its audio.
        expected = reply.seconds() if complete else max(reply.seconds(), len(reply.text) / pace)
        text = text_up_to(reply.text, seconds / expected if expected else 0.0)
        return _as_message(text, reply.samples()[: int(seconds * reply.rate)], reply.rate)


def text_up_to(text: str, share: float) -> str:
    """The whole words in the first ``share`` (0 to 1) of ``text``, taking every character to last equally long."""
    end = int(len(text) * min(1.0, share))
    while 0 < end < len(text) and not _between_words(text[end - 1], text[end]):
        end -= 1
    return text[:end].rstrip()


def _between_words(left: str, right: str) -> bool:
    return left.isspace() or right.isspace() or max(left, right) >= _FIRST_CJK


def _as_message(text: str, samples: NDArray[np.float32], rate: int) -> Message:
    audio = encode_audio(samples, rate, container="mp3") if len(samples) else b""
    return Message(role="assistant", text=text, audio=audio)
