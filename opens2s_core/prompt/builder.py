"""Conversion of conversations to token ids, shared by training and inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opens2s_core.prompt.messages import Message, audio_sources, normalised_messages, uses_tools
from opens2s_core.prompt.tool_template import ToolTemplate
from opens2s_core.prompt.training_sample import TrainingSample, training_sample
from opens2s_core.prompt.writer import MessageWriter, PromptStyle

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Prompt:
    input_ids: list[int]
    audios: list[Any]


class PromptBuilder:
    """Converts messages to ids, audio slots, labels and token types. User text never becomes a special token."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", style: PromptStyle) -> None:
        """``ValueError`` for a tokenizer that lacks a special token of the style."""
        self.tokenizer = tokenizer
        self.style = style
        self._writer = MessageWriter(tokenizer, style)
        self._template = ToolTemplate(self._writer)

    def training_sample(self, messages: Sequence[Message]) -> TrainingSample:
        """See :func:`~opens2s_core.prompt.training_sample.training_sample`."""
        return training_sample(self._writer, messages)

    def prompt(self, messages: Sequence[Message], *, speak: bool, tools: Sequence[str] = ()) -> Prompt:
        """The prompt of a conversation up to the start of the reply, spoken (``speak``) or written.

        ``tools`` are the functions that a written reply may call, each the text of a JSON object in OpenAI's format:
        ``{"type": "function", "function": {…}}``. A conversation with tools, calls or results is rendered by the
        tokenizer's chat template, except for the opening of the reply.

        ``ValueError`` for content that a message cannot hold, see :class:`Message`, for tools of a spoken reply, for
        tools that are not JSON objects, for special tokens in tools or calls, and if there is no chat template or it
        cannot render the conversation.
        """
        if speak and tools:
            raise ValueError(f"{len(tools)} tools for a spoken reply: only written replies can use tools")
        writer, written = self._writer, normalised_messages(messages)
        if tools or any(map(uses_tools, written)):
            parts = self._template.write(written, tools)
        else:
            parts = [part for message in written for part in writer.past_message(message)]
        ids = writer.encode([*parts, *writer.header("assistant"), *writer.opening()])
        if speak:
            ids.append(writer.special["<|im_tts_start|>"])
        return Prompt(ids, [source for message in written for source in audio_sources(message)])

    def reply(self, text: str, *, speak: bool) -> list[int]:
        """Ids of a reply with this text, as in training, without the end of the message."""
        return self.encode_text(text) + ([self._writer.special["<|im_tts_end|>"]] if speak else [])

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain text: the text of a special token is encoded as characters."""
        return self._writer.encode_text(text)
