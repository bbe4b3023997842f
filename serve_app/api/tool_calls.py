"""Calls of tools in what a model wrote, in the manner of Qwen's chat template."""

import json
import re

from opens2s_core.prompt import ToolCall

_BEGIN = re.compile(r"<tool_call>\s*")
_END = re.compile(r"\s*</tool_call>")
_JSON = json.JSONDecoder()


def parse_tool_calls(text: str) -> tuple[str, list[ToolCall]]:
    """The words around the calls, stripped, and the calls, whose ids are ``call_0``, ``call_1``, ….

    A call is ``<tool_call>{"name": "…", "arguments": {…}}</tool_call>``; an empty text stands for no arguments. What is
    not well formed stays text.
    """
    words: list[str] = []
    calls: list[ToolCall] = []
    read = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < read:  # words inside a call
            continue
        call, end = _call(text, begin.end(), f"call_{len(calls)}")
        if call is not None and (closing := _END.match(text, end)):
            words.append(text[read : begin.start()])
            calls.append(call)
            read = closing.end()
    return "".join([*words, text[read:]]).strip(), calls


def _call(text: str, start: int, identity: str) -> tuple[ToolCall | None, int]:
    """The call whose JSON begins there, and where that ends; None where there is none."""
    try:
        value, end = _JSON.raw_decode(text, start)
        match value:
            case {"name": str(name), "arguments": dict(arguments)}:
                return ToolCall(identity, name, json.dumps(arguments, ensure_ascii=False)), end
            case {"name": str(name), "arguments": ""}:
                return ToolCall(identity, name, "{}"), end
    except (ValueError, RecursionError):  # no JSON, or none that others read: infinite, half a character
        pass
    return None, start
