"""The one place where conversations become token ids, for training and for inference alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opens2s_core.prompt.messages import Message, audio_sources, is_about_tools, written_messages
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
    """Turns messages into ids, audio slots, labels and token types. User text never becomes a special token."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", style: PromptStyle) -> None:
        """``ValueError`` for a tokenizer that lacks a special token which the style writes."""
        self.tokenizer = tokenizer
        self.style = style
        self._writer = MessageWriter(tokenizer, style)
        self._template = ToolTemplate(self._writer)

    def training_sample(self, messages: Sequence[Message]) -> TrainingSample:
        """See :func:`~opens2s_core.prompt.training_sample.training_sample`."""
        return training_sample(self._writer, messages)

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
        writer, written = self._writer, written_messages(messages)
        if tools or any(map(is_about_tools, written)):
            parts = self._template.write(written, tools)
        else:
            parts = [part for message in written for part in writer.past_message(message)]
        ids = writer.encode([*parts, *writer.header("assistant"), *writer.opening()])
        if speak:
            ids.append(writer.special["<|im_tts_start|>"])
        return Prompt(ids, [source for message in written for source in audio_sources(message)])

    def reply(self, text: str, *, speak: bool) -> list[int]:
        """Ids of a reply with this text after its prompt, as it is learned: all but the end of the message."""
        return self.encode_text(text) + ([self._writer.special["<|im_tts_end|>"]] if speak else [])

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as plain text: what looks like a special token is encoded as its characters."""
        return self._writer.encode_text(text)
