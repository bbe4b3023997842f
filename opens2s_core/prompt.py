"""Conversations, and the one place where they become token ids: for training and for inference alike."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedTokenizerFast

AUDIO_SLOT = -200
"""Stands in ``input_ids`` where the embeddings of one clip are inserted."""
IGNORED = -100
"""Label of a position from which nothing is learned."""
DEFAULT_SYSTEM = "You are a helpful assistant."

Role = Literal["system", "user", "assistant"]
PromptStyle = Literal["training", "chat"]
"""How an assistant turn opens. ``training``: ``<think></think>``, as the reference's training tool writes it.
``chat``: a think block with blank lines, and plain past turns, as Qwen3's chat template writes it and the reference
serves it. A checkpoint remembers which one it was trained with."""


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


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One conversation as the LLM reads it; the three lists have one entry a position (one a slot for a clip)."""

    input_ids: list[int]
    token_types: list[int]  # 1 on a spoken reply, whose hidden states drive the speech decoder
    labels: list[int]
    audios: list[Any]  # Audio.source of each slot, in reading order
    units: list[tuple[int, ...]]  # per spoken reply, in reading order


@dataclass(frozen=True, slots=True)
class Prompt:
    input_ids: list[int]
    audios: list[Any]


class PromptBuilder:
    """Turns messages into ids, audio slots, labels and token types. User text can never forge a special token."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, style: PromptStyle) -> None:
        self.tokenizer = tokenizer
        self.style = style
        self._special = dict(tokenizer.added_tokens_encoder)

    def training_sample(self, messages: Sequence[Message]) -> TrainingSample:
        """The conversation with labels on every assistant turn (``<think></think>`` and headers are not learned)."""
        builder = _SampleBuilder(self)
        for message in _with_system(messages):
            builder.turn(message)
        return builder.sample

    def prompt(self, messages: Sequence[Message], *, speak: bool) -> Prompt:
        """The conversation up to where the reply begins; ``speak`` opens a spoken reply, else a written one."""
        audios: list[Any] = []
        parts: list[str | int] = []
        for message in _with_system(messages):
            parts += [*self._header(message.role), *self._past_turn_opening(message.role)]
            for item in message.content:
                parts += self._content(item)
                if isinstance(item, Audio):
                    audios.append(item.source)
            parts += self._footer()
        parts += self._header("assistant")
        parts += self._opening()
        if speak:
            parts.append(self._id("<|im_tts_start|>"))
        return Prompt(self._encode(parts), audios)

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain words: what looks like a special token is spelled out, never made."""
        ids: list[int] = []
        for piece in _break_literals(text, self._special):
            ids += self.tokenizer.encode(piece, add_special_tokens=False)
        return ids

    def _id(self, token: str) -> int:
        return self._special[token]

    def _header(self, role: Role) -> list[str | int]:
        return [self._id("<|im_start|>"), role, "\n"]

    def _footer(self) -> list[str | int]:
        return [self._id("<|im_end|>"), "\n"]

    def _opening(self) -> list[str | int]:
        think, end = self._id("<think>"), self._id("</think>")
        return [think, end] if self.style == "training" else [think, "\n\n", end, "\n\n"]

    def _past_turn_opening(self, role: Role) -> list[str | int]:
        return self._opening() if role == "assistant" and self.style == "training" else []

    def _content(self, item: Content) -> list[str | int]:
        match item:
            case Text(text):
                return [text]
            case Audio():
                return [self._id("<|im_audio_start|>"), AUDIO_SLOT, self._id("<|im_audio_end|>")]
            case Spoken(text):
                if self.style == "chat":  # the reference serves past replies as plain text
                    return [text]
                return [self._id("<|im_tts_start|>"), text, self._id("<|im_tts_end|>")]

    def _encode(self, parts: Iterable[str | int]) -> list[int]:
        """``training`` encodes each piece on its own; ``chat`` joins neighbours first, as one template string does."""
        ids: list[int] = []
        text = ""
        for part in parts:
            if isinstance(part, str) and self.style == "chat":
                text += part
                continue
            if text:
                ids += self.encode_text(text)
                text = ""
            ids += [part] if isinstance(part, int) else self.encode_text(part)
        return ids + (self.encode_text(text) if text else [])


class _SampleBuilder:
    def __init__(self, prompts: PromptBuilder) -> None:
        self._prompts = prompts
        self.sample = TrainingSample([], [], [], [], [])

    def turn(self, message: Message) -> None:
        prompts, learned = self._prompts, message.role == "assistant"
        self._add(prompts._header(message.role))
        if learned:
            self._add(prompts._opening())
        for item in message.content:
            spoken = isinstance(item, Spoken)
            if (isinstance(item, Audio) and message.role != "user") or (spoken and not learned):
                raise ValueError(f"a {message.role} turn cannot hold {type(item).__name__}")
            self._add(prompts._content(item), learned=learned, spoken=spoken)
            if isinstance(item, Audio):
                self.sample.audios.append(item.source)
            if isinstance(item, Spoken):
                self.sample.units.append(item.units)
        self._add(prompts._footer(), learned=learned)

    def _add(self, parts: list[str | int], *, learned: bool = False, spoken: bool = False) -> None:
        ids = self._prompts._encode(parts)
        self.sample.input_ids.extend(ids)
        self.sample.token_types.extend([int(spoken)] * len(ids))
        self.sample.labels.extend(ids if learned else [IGNORED] * len(ids))


def _with_system(messages: Sequence[Message]) -> list[Message]:
    if messages and messages[0].role == "system":
        return list(messages)
    return [Message("system", (Text(DEFAULT_SYSTEM),)), *messages]


def _break_literals(text: str, literals: Iterable[str]) -> list[str]:
    """Cut ``text`` behind the first character of every literal in it, so that no piece holds a whole literal."""
    cuts = {0, len(text)}
    for literal in literals:
        at = text.find(literal)
        while at >= 0:
            cuts.add(at + 1)
            at = text.find(literal, at + 1)
    edges = sorted(cuts)
    return [text[a:b] for a, b in itertools.pairwise(edges)]
