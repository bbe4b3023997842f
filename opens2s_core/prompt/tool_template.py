"""Conversations with tools, rendered by the tokenizer's chat template."""

import re
import secrets
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from opens2s_core.prompt.messages import Message, ToolCall, as_json, json_object
from opens2s_core.prompt.writer import MessageWriter


class ToolTemplate:
    """The chat template of the writer's tokenizer."""

    def __init__(self, writer: MessageWriter) -> None:
        self._writer = writer
        longest_first = sorted(writer.special, key=len, reverse=True)
        self._any_special = re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def write(self, written: Sequence[Message], tools: Sequence[str]) -> list[str | int]:
        """The messages as rendered by the chat template.

        The template gets placeholders instead of the contents, so that only its own text becomes special tokens.
        """
        schemas = [self._data(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
        placeholder = secrets.token_hex(16)
        contents = [self._writer.content_parts(message) for message in written]
        non_empty = [i for i, parts in enumerate(contents) if any(part != "" for part in parts)]
        messages = [
            self._template_message(message, f"{placeholder}-{i}-" if i in non_empty else "")
            for i, message in enumerate(written)
        ]
        segments = re.split(f"{placeholder}-([0-9]+)-", self._render(messages, schemas))
        if [int(index) for index in segments[1::2]] != non_empty:
            raise ValueError("the tokenizer's chat template omits, repeats or moves messages of this conversation")
        parts: list[str | int] = []
        for i, segment in enumerate(segments):
            parts += contents[int(segment)] if i % 2 else self._with_special_tokens(segment)
        return parts

    def _template_message(self, message: Message, content: str) -> dict[str, Any]:
        """A message in the input format of chat templates."""
        calls = []
        for item in message.content:
            if isinstance(item, ToolCall):
                what = f"a call of {item.name!r}"
                self._refuse_special_tokens(item.name, what)
                function = {"name": item.name, "arguments": self._data(item.arguments, what)}
                calls.append({"type": "function", "function": function})
        return {"role": message.role, "content": content} | ({"tool_calls": calls} if calls else {})

    def _render(self, messages: list[dict[str, Any]], schemas: Sequence[dict[str, Any]]) -> str:
        if self._writer.tokenizer.chat_template is None:
            raise ValueError("the tokenizer has no chat template: tools need one")
        try:
            text = self._writer.tokenizer.apply_chat_template(
                messages, tools=[*schemas] or None, tokenize=False, add_generation_prompt=False, enable_thinking=False
            )
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"the tokenizer's chat template cannot render this conversation: {error}") from error
        return str(text)

    def _data(self, text: str, what: str) -> dict[str, Any]:
        """A JSON object without special tokens, which the template may render."""
        value = json_object(text, what)
        self._refuse_special_tokens(as_json(value), what)
        return value

    def _refuse_special_tokens(self, text: str, what: str) -> None:
        if found := self._any_special.search(text):
            raise ValueError(f"{what} holds {found[0]!r}, which is a special token of the model")

    def _with_special_tokens(self, written: str) -> list[str | int]:
        """The text of a template, with its special tokens as ids."""
        segments = self._any_special.split(written)
        return [self._writer.special[segment] if i % 2 else segment for i, segment in enumerate(segments)]
