"""Conversations, and the one place where they become token ids: for training and for inference alike."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import PreTrainedTokenizerFast

AUDIO_SLOT = -200
"""Stands in ``input_ids`` where the embeddings of one clip are inserted."""
IGNORED = -100
"""Label of a position from which nothing is learned."""
DEFAULT_SYSTEM = "You are a helpful assistant."

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
SPEECH_TOKENS = ("<|im_audio_start|>", "<|im_audio_end|>", "<|im_tts_start|>", "<|im_tts_end|>")
THINK_TOKENS = ("<think>", "</think>")

Role = Literal["system", "user", "assistant"]
PromptStyle = Literal["training", "plain", "chat"]
"""How an assistant turn opens; a checkpoint remembers which one it was trained with.

``training``: an empty think block, ``<think></think>``, as the reference's training tool writes it.
``plain``: no think block, as that tool writes it where thinking is on.
``chat``: a think block with blank lines before the reply and bare past turns, as Qwen3's chat template writes it and
the reference serves it."""


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
    """A reply that is said aloud: its words and, for training, its speech units (codebook ids) and its speaker's
    vector (512 numbers; empty where unknown)."""

    text: str
    units: tuple[int, ...] = ()
    speaker: tuple[float, ...] = ()


Content = Text | Audio | Spoken


@dataclass(frozen=True, slots=True)
class Message:
    """A turn. Sounds are the user's; spoken words, never empty, the assistant's. A first system message that says
    nothing stands for no system turn at all; without one there is the default."""

    role: Role
    content: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One conversation as the LLM reads it; the first three lists have one entry a position (one a slot for a clip)."""

    input_ids: list[int] = field(default_factory=list)
    token_types: list[int] = field(default_factory=list)  # 1 on a spoken reply, whose hidden states drive the voice
    labels: list[int] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)  # Audio.source of each slot, in reading order
    units: list[tuple[int, ...]] = field(default_factory=list)  # per spoken reply, in reading order
    speakers: list[tuple[float, ...]] = field(default_factory=list)  # per spoken reply


@dataclass(frozen=True, slots=True)
class Prompt:
    input_ids: list[int]
    audios: list[Any]


class PromptBuilder:
    """Turns messages into ids, audio slots, labels and token types. User text can never forge a special token."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, style: PromptStyle) -> None:
        """``ValueError`` for a tokenizer that lacks a special token which the style writes."""
        self.tokenizer = tokenizer
        self.style = style
        self._special = dict(tokenizer.added_tokens_encoder)
        needed = (TURN_START, TURN_END, *SPEECH_TOKENS, *(() if style == "plain" else THINK_TOKENS))
        if missing := [token for token in needed if token not in self._special]:
            raise ValueError(f"the tokenizer lacks the special tokens {missing}")

    def training_sample(self, messages: Sequence[Message]) -> TrainingSample:
        """The conversation with labels on assistant turns (headers and think blocks are not learned).

        In ``chat`` style a reply looks otherwise once it is past, so only a last turn is learned and speaks.
        ``ValueError`` for content in a turn that cannot hold it, see :class:`Message`.
        """
        sample = TrainingSample()
        turns = _turns(messages)
        for i, message in enumerate(turns):
            if message.role == "assistant" and (self.style != "chat" or i == len(turns) - 1):
                self._learn(sample, message)
            else:
                _append(sample, self._encode(self._past_turn(message)))
            sample.audios.extend(_sounds(message))
        return sample

    def prompt(self, messages: Sequence[Message], *, speak: bool) -> Prompt:
        """The conversation up to where the reply begins; ``speak`` opens a spoken reply, else a written one.

        ``ValueError`` for content in a turn that cannot hold it, see :class:`Message`.
        """
        turns = _turns(messages)
        ids = [token for message in turns for token in self._encode(self._past_turn(message))]
        ids += self._encode([*self._header("assistant"), *self._opening()])
        if speak:
            ids.append(self._special["<|im_tts_start|>"])
        return Prompt(ids, [sound for message in turns for sound in _sounds(message)])

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain words: what looks like a special token is spelled out, never made."""
        ids: list[int] = []
        for piece in _break_literals(text, self._special):
            ids += self.tokenizer.encode(piece, add_special_tokens=False)
        return ids

    def _learn(self, sample: TrainingSample, message: Message) -> None:
        _append(sample, self._encode([*self._header("assistant"), *self._opening()]))
        for item in message.content:
            spoken = isinstance(item, Spoken)
            if spoken and sample.token_types[-1]:
                raise ValueError("two spoken replies in a row cannot be told apart: expected words between them")
            _append(sample, self._encode(self._content(item)), learned=True, spoken=spoken)
            if isinstance(item, Spoken):
                sample.units.append(item.units)
                sample.speakers.append(item.speaker)
        _append(sample, self._encode(self._footer()), learned=True)

    def _past_turn(self, message: Message) -> list[str | int]:
        parts = self._header(message.role)
        if message.role == "assistant" and self.style != "chat":
            parts += self._opening()
        for item in message.content:
            if self.style == "chat" and isinstance(item, Spoken):
                item = Text(item.text)  # the reference serves past replies as plain text
            parts += self._content(item)
        return parts + self._footer()

    def _header(self, role: Role) -> list[str | int]:
        return [self._special[TURN_START], role, "\n"]

    def _footer(self) -> list[str | int]:
        return [self._special[TURN_END], "\n"]

    def _opening(self) -> list[str | int]:
        if self.style == "plain":
            return []
        start, end = (self._special[token] for token in THINK_TOKENS)
        return [start, end] if self.style == "training" else [start, "\n\n", end, "\n\n"]

    def _content(self, item: Content) -> list[str | int]:
        match item:
            case Text(text):
                return [text]
            case Audio():
                return [self._special["<|im_audio_start|>"], AUDIO_SLOT, self._special["<|im_audio_end|>"]]
            case Spoken(text):
                return [self._special["<|im_tts_start|>"], text, self._special["<|im_tts_end|>"]]

    def _encode(self, parts: Iterable[str | int]) -> list[int]:
        """Ids are themselves. ``chat`` joins neighbouring text before it encodes it, as one template string does; the
        other styles encode each piece on its own, as the reference's training tool does."""
        ids: list[int] = []
        for is_text, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
            run = list(group)
            if is_text and self.style == "chat":
                run = ["".join(map(str, run))]
            for part in run:
                ids += self.encode_text(part) if isinstance(part, str) else [part]
        return ids


def _turns(messages: Sequence[Message]) -> list[Message]:
    """The turns that are written: with the default system turn, or without an empty one."""
    for message in messages:
        for item in message.content:
            if isinstance(item, Audio) and message.role != "user":
                raise ValueError(f"a {message.role} turn cannot hold Audio: expected sounds in user turns only")
            if isinstance(item, Spoken) and message.role != "assistant":
                raise ValueError(f"a {message.role} turn cannot hold Spoken: expected it in assistant turns only")
            if isinstance(item, Spoken) and not item.text:
                raise ValueError(f"a spoken reply of {len(item.units)} units has no words: expected some")
    if not messages or messages[0].role != "system":
        return [Message("system", (Text(DEFAULT_SYSTEM),)), *messages]
    silent = all(item == Text("") for item in messages[0].content)
    return list(messages[1:] if silent else messages)


def _sounds(message: Message) -> list[Any]:
    return [item.source for item in message.content if isinstance(item, Audio)]


def _append(sample: TrainingSample, ids: list[int], *, learned: bool = False, spoken: bool = False) -> None:
    sample.input_ids.extend(ids)
    sample.token_types.extend([int(spoken)] * len(ids))
    sample.labels.extend(ids if learned else [IGNORED] * len(ids))


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
