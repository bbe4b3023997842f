"""Conversations and their conversion to token ids, the same for training and for inference."""

import itertools
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import TemplateError

if TYPE_CHECKING:  # messages are also handled where nothing is tokenised, and transformers takes half a second
    from transformers import PreTrainedTokenizerFast

AUDIO_SLOT = -200
"""Placeholder in ``input_ids`` for the embeddings of one clip."""
IGNORED = -100
"""Label of a position from which nothing is learned."""
DEFAULT_SYSTEM = "You are a helpful assistant."
SPEAKER_DIM = 512
"""Size of a speaker's vector, which is zero for an unknown speaker."""
READ_ALOUD = "Read the following text aloud, word for word:\n"
"""The user's text before one that is to be read, see :func:`reading`."""

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
SPEECH_TOKENS = ("<|im_audio_start|>", "<|im_audio_end|>", "<|im_tts_start|>", "<|im_tts_end|>")
THINK_TOKENS = ("<think>", "</think>")

Role = Literal["system", "user", "assistant", "tool"]
PromptStyle = Literal["training", "plain", "chat"]
"""How an assistant message begins; a checkpoint stores the style it was trained with.

``training``: an empty think block, ``<think></think>``, as the reference's training tool writes it.
``plain``: no think block, as that tool writes it where thinking is on.
``chat``: a think block with blank lines before the reply and bare past messages, as Qwen3's chat template writes it and
the reference serves it."""


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
    vector (``SPEAKER_DIM`` numbers; empty where unknown)."""

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
        _json_object(self.arguments, f"arguments of {self.name!r}")


Content = Text | Audio | Spoken | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation. Audio belongs to the user; spoken text, never empty, and tool calls to the
    assistant, calls after the text. A tool's result is a ``tool`` message. An empty first system message means no
    system message; without a first system message there is the default one."""

    role: Role
    content: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One conversation as the LLM reads it; the first three lists have an entry per position, one per audio slot."""

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


def reading(text: str, instructions: str | None = None) -> tuple[Message, ...]:
    """The conversation whose reply is ``text``, spoken; ``instructions`` say how to read it.

    The paper (arXiv 2507.05177, appendix, stage 2) has the LLM process such text "using a structured prompt" that it
    does not give, so this wording is our own. A training stage for text-to-speech should use it too.
    """
    system = Message("system", (Text(instructions or DEFAULT_SYSTEM),))
    return system, Message("user", (Text(READ_ALOUD), Text(text)))


class PromptBuilder:
    """Turns messages into ids, audio slots, labels and token types. User text never becomes a special token."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", style: PromptStyle) -> None:
        """``ValueError`` for a tokenizer that lacks a special token which the style writes."""
        self.tokenizer = tokenizer
        self.style = style
        self._special = dict(tokenizer.added_tokens_encoder)
        longest_first = sorted(self._special, key=len, reverse=True)
        self._any_special = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        needed = (TURN_START, TURN_END, *SPEECH_TOKENS, *(() if style == "plain" else THINK_TOKENS))
        if missing := [token for token in needed if token not in self._special]:
            raise ValueError(f"the tokenizer lacks the special tokens {missing}")

    def training_sample(self, messages: Sequence[Message]) -> TrainingSample:
        """The conversation with labels on assistant messages (headers and think blocks are not learned).

        In ``chat`` style past replies have another form, so only a last message is learned and spoken. ``ValueError``
        for content in a message that cannot hold it, see :class:`Message`, and for tool calls and results.
        """
        sample = TrainingSample()
        written = _written_messages(messages)
        if any(map(_is_about_tools, written)):
            raise ValueError("a training sample cannot hold tool calls or results: expected text and audio")
        for i, message in enumerate(written):
            if message.role == "assistant" and (self.style != "chat" or i == len(written) - 1):
                self._learn(sample, message)
            else:
                _append(sample, self._encode(self._past_message(message)))
            sample.audios.extend(_audio_sources(message))
        return sample

    def prompt(self, messages: Sequence[Message], *, speak: bool, tools: Sequence[str] = ()) -> Prompt:
        """The conversation up to where the reply begins; ``speak`` opens a spoken reply, else a written one.

        ``tools`` are the functions that a written reply may call, each the text of a JSON object as OpenAI has it:
        ``{"type": "function", "function": {…}}``. A conversation with tools, calls or results is written by the
        tokenizer's own chat template, all but the reply's opening.

        ``ValueError`` for content in a message that cannot hold it, see :class:`Message`, for tools of a spoken reply,
        for tools that are no JSON objects, for special tokens in tools or calls, and where there is no chat template or
        it does not write the conversation.
        """
        if speak and tools:
            raise ValueError(f"{len(tools)} tools for a spoken reply: expected them for written replies only")
        written = _written_messages(messages)
        if tools or any(map(_is_about_tools, written)):
            parts = self._by_template(written, tools)
        else:
            parts = [part for message in written for part in self._past_message(message)]
        ids = self._encode([*parts, *self._header("assistant"), *self._opening()])
        if speak:
            ids.append(self._special["<|im_tts_start|>"])
        return Prompt(ids, [source for message in written for source in _audio_sources(message)])

    def reply(self, text: str, *, speak: bool) -> list[int]:
        """Ids of a reply with this text after its prompt, as it is learned: all but the end of the message."""
        return self.encode_text(text) + ([self._special["<|im_tts_end|>"]] if speak else [])

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain text: what looks like a special token is encoded as its characters."""
        ids: list[int] = []
        for segment in _break_literals(text, self._special):
            ids += self.tokenizer.encode(segment, add_special_tokens=False)
        return ids

    def _learn(self, sample: TrainingSample, message: Message) -> None:
        _append(sample, self._encode([*self._header("assistant"), *self._opening()]))
        for item in message.content:
            spoken = isinstance(item, Spoken)
            if spoken and sample.token_types[-1]:
                raise ValueError("two spoken replies in a row cannot be separated: expected text between them")
            _append(sample, self._encode(self._content(item)), learned=True, spoken=spoken)
            if isinstance(item, Spoken):
                sample.units.append(item.units)
                sample.speakers.append(item.speaker)
        _append(sample, self._encode(self._footer()), learned=True)

    def _past_message(self, message: Message) -> list[str | int]:
        return [*self._header(message.role), *self._inside(message), *self._footer()]

    def _inside(self, message: Message) -> list[str | int]:
        """The content of a past message between header and footer, without tool calls."""
        parts = self._opening() if message.role == "assistant" and self.style != "chat" else []
        for item in message.content:
            if self.style == "chat" and isinstance(item, Spoken):
                item = Text(item.text)  # the reference serves past replies as plain text
            parts += self._content(item)
        return parts

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
            case ToolCall():  # only a template writes it
                return []

    def _by_template(self, written: Sequence[Message], tools: Sequence[str]) -> list[str | int]:
        """The messages as the tokenizer's chat template writes them.

        The template gets marks in place of the contents. So only its own text makes special tokens.
        """
        schemas = [self._data(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
        mark = secrets.token_hex(16)
        contents = [self._inside(message) for message in written]
        speaking = [i for i, parts in enumerate(contents) if any(part != "" for part in parts)]
        messages = [
            self._template_message(message, f"{mark}-{i}-" if i in speaking else "")
            for i, message in enumerate(written)
        ]
        segments = re.split(f"{mark}-([0-9]+)-", self._render(messages, schemas))
        if [int(index) for index in segments[1::2]] != speaking:
            raise ValueError("the tokenizer's chat template leaves out, repeats or moves messages of this conversation")
        parts: list[str | int] = []
        for i, segment in enumerate(segments):
            parts += contents[int(segment)] if i % 2 else self._with_special_tokens(segment)
        return parts

    def _template_message(self, message: Message, content: str) -> dict[str, Any]:
        """A message as chat templates take it."""
        calls = []
        for item in message.content:
            if isinstance(item, ToolCall):
                what = f"a call of {item.name!r}"
                self._refuse_special_tokens(item.name, what)
                function = {"name": item.name, "arguments": self._data(item.arguments, what)}
                calls.append({"type": "function", "function": function})
        return {"role": message.role, "content": content} | ({"tool_calls": calls} if calls else {})

    def _render(self, messages: list[dict[str, Any]], schemas: Sequence[dict[str, Any]]) -> str:
        if self.tokenizer.chat_template is None:
            raise ValueError("the tokenizer has no chat template, which tools need")
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tools=[*schemas] or None, tokenize=False, add_generation_prompt=False, enable_thinking=False
            )
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"the tokenizer's chat template does not write this conversation: {error}") from error
        return str(text)

    def _data(self, text: str, what: str) -> dict[str, Any]:
        """A JSON object that the template may write itself."""
        value = _json_object(text, what)
        self._refuse_special_tokens(_as_json(value), what)
        return value

    def _refuse_special_tokens(self, text: str, what: str) -> None:
        if found := self._any_special.search(text):
            raise ValueError(f"{what} holds {found[0]!r}, which is a special token of the model")

    def _with_special_tokens(self, written: str) -> list[str | int]:
        """A template's own text, with its special tokens."""
        segments = self._any_special.split(written)
        return [self._special[segment] if i % 2 else segment for i, segment in enumerate(segments)]

    def _encode(self, parts: Iterable[str | int]) -> list[int]:
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


_OWNERS: dict[type[Content], Role] = {Audio: "user", Spoken: "assistant", ToolCall: "assistant"}


def _written_messages(messages: Sequence[Message]) -> list[Message]:
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


def _is_about_tools(message: Message) -> bool:
    return message.role == "tool" or any(isinstance(item, ToolCall) for item in message.content)


def _audio_sources(message: Message) -> list[Any]:
    return [item.source for item in message.content if isinstance(item, Audio)]


def _append(sample: TrainingSample, ids: list[int], *, learned: bool = False, spoken: bool = False) -> None:
    sample.input_ids.extend(ids)
    sample.token_types.extend([int(spoken)] * len(ids))
    sample.labels.extend(ids if learned else [IGNORED] * len(ids))


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


def _json_object(text: str, what: str) -> dict[str, Any]:
    """``ValueError`` for a text that is no JSON object of finite numbers and whole characters."""
    try:
        value = json.loads(text)
        _as_json(value).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: expected JSON, {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a JSON object, got {type(value).__name__}")
    return value


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
