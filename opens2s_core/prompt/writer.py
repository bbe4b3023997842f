"""Messages as token ids and audio slots, in the style of a checkpoint."""

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from opens2s_core.prompt.messages import Audio, Content, Message, Role, Spoken, Text, ToolCall

if TYPE_CHECKING:  # messages are also handled where nothing is tokenised, and transformers takes half a second
    from transformers import PreTrainedTokenizerFast

AUDIO_SLOT = -200
"""Placeholder in ``input_ids`` for the embeddings of one clip."""

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
SPEECH_TOKENS = ("<|im_audio_start|>", "<|im_audio_end|>", "<|im_tts_start|>", "<|im_tts_end|>")
THINK_TOKENS = ("<think>", "</think>")

_CACHED_TEXTS = 64

PromptStyle = Literal["training", "plain", "chat"]
"""How an assistant message begins; a checkpoint stores the style it was trained with.

``training``: an empty think block, ``<think></think>``, as the reference's training tool writes it.
``plain``: no think block, as that tool writes it where thinking is on.
``chat``: a think block with blank lines before the reply and bare past messages, as Qwen3's chat template writes it and
the reference serves it."""


class MessageWriter:
    """Writes messages as parts, text or token ids, and encodes these. User text never becomes a special token."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", style: PromptStyle) -> None:
        """``ValueError`` for a tokenizer that lacks a special token which the style writes."""
        self.tokenizer = tokenizer
        self.style = style
        self.special = dict(tokenizer.added_tokens_encoder)
        needed = (TURN_START, TURN_END, *SPEECH_TOKENS, *(() if style == "plain" else THINK_TOKENS))
        if missing := [token for token in needed if token not in self.special]:
            raise ValueError(f"the tokenizer lacks the special tokens {missing}")
        # Roles, line ends and system messages are in every conversation.
        self._cached_ids = lru_cache(maxsize=_CACHED_TEXTS)(self._encode_text)

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain text: what looks like a special token is encoded as its characters."""
        return list(self._cached_ids(text))

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = []
        for segment in _break_literals(text, self.special):
            ids += self.tokenizer.encode(segment, add_special_tokens=False)
        return ids

    def past_message(self, message: Message) -> list[str | int]:
        """The parts of a whole message."""
        return [*self.header(message.role), *self.inside(message), *self.footer()]

    def inside(self, message: Message) -> list[str | int]:
        """The content of a past message between header and footer, without tool calls."""
        parts = self.opening() if message.role == "assistant" and self.style != "chat" else []
        for item in message.content:
            if self.style == "chat" and isinstance(item, Spoken):
                item = Text(item.text)  # the reference serves past replies as plain text
            parts += self.content(item)
        return parts

    def header(self, role: Role) -> list[str | int]:
        """The parts before a message's content."""
        return [self.special[TURN_START], role, "\n"]

    def footer(self) -> list[str | int]:
        """The parts after it."""
        return [self.special[TURN_END], "\n"]

    def opening(self) -> list[str | int]:
        """What an assistant message begins with."""
        if self.style == "plain":
            return []
        start, end = (self.special[token] for token in THINK_TOKENS)
        return [start, end] if self.style == "training" else [start, "\n\n", end, "\n\n"]

    def content(self, item: Content) -> list[str | int]:
        """One item of a message's content; nothing of a tool call, which only a template writes."""
        match item:
            case Text(text):
                return [text]
            case Audio():
                return [self.special["<|im_audio_start|>"], AUDIO_SLOT, self.special["<|im_audio_end|>"]]
            case Spoken(text):
                return [self.special["<|im_tts_start|>"], text, self.special["<|im_tts_end|>"]]
            case ToolCall():
                return []

    def encode(self, parts: Iterable[str | int]) -> list[int]:
        """Ids are themselves. ``chat`` joins neighbouring text before it encodes it, as one template string does; the
        other styles encode each part on its own, as the reference's training tool does."""
        ids: list[int] = []
        for is_text, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
            run = list(group)
            if is_text and self.style == "chat":
                run = ["".join(map(str, run))]
            for part in run:
                ids += self.encode_text(part) if isinstance(part, str) else [part]
        return ids


def _break_literals(text: str, literals: Iterable[str]) -> list[str]:
    """Cut ``text`` after the first character of every literal in it, so that no part holds a whole literal."""
    cuts = {0, len(text)}
    for literal in literals:
        at = text.find(literal)
        while at >= 0:
            cuts.add(at + 1)
            at = text.find(literal, at + 1)
    edges = sorted(cuts)
    return [text[a:b] for a, b in itertools.pairwise(edges)]
