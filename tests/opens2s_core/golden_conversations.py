"""Converts conversations in the format of the published tools' files."""

from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.prompt import Audio, Content, Message, Spoken, Text
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("opens2s_tiny")
VOCABULARY = read_vocabulary(GOLDEN.path)
_UNITS = PreTrainedTokenizerFast.from_pretrained(str(GOLDEN.path / "tts"))


def parse_messages(messages: list[dict[str, Any]]) -> tuple[Message, ...]:
    """Audio is a path in the golden directory; the order within an item is audio, units, text."""
    return tuple(Message(turn["role"], tuple(map(_content, as_items(turn["content"])))) for turn in messages)


def as_items(content: Any) -> list[dict[str, str]]:
    if isinstance(content, str):
        return [{"text": content}]
    return [content] if isinstance(content, dict) else content


def speaker(path: str) -> tuple[float, ...]:
    return tuple(np.load(GOLDEN.path / path).flatten().tolist()) if path else ()


def _content(item: dict[str, str]) -> Content:
    if item.get("audio"):
        return Audio(item["audio"])
    if units := item.get("speech_units"):
        codes = _UNITS.convert_tokens_to_ids(_UNITS.tokenize(units))
        return Spoken(
            item["text"], tuple(code - VOCABULARY.units.offset for code in codes), speaker(item.get("spk_emb", ""))
        )
    return Text(item["text"])


def served(row: dict[str, Any]) -> tuple[Message, ...]:
    """The messages after the worker's system prompt; an empty prompt is omitted."""
    return Message("system", (Text(row["system_prompt"]),)), *parse_messages(row["messages"])
