"""Conversations as the LLM learns them: ids, labels and token types."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opens2s_core.prompt.messages import Message, Spoken, audio_sources, is_about_tools, written_messages
from opens2s_core.prompt.writer import MessageWriter

IGNORED = -100
"""Label of a position from which nothing is learned."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One conversation as the LLM reads it; the first three lists have an entry per position, one per audio slot."""

    input_ids: list[int] = field(default_factory=list)
    token_types: list[int] = field(default_factory=list)  # 1 on a spoken reply, whose hidden states drive the voice
    labels: list[int] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)  # Audio.source of each slot, in reading order
    units: list[tuple[int, ...]] = field(default_factory=list)  # per spoken reply, in reading order
    speakers: list[tuple[float, ...]] = field(default_factory=list)  # per spoken reply


def training_sample(writer: MessageWriter, messages: Sequence[Message]) -> TrainingSample:
    """The conversation with labels on assistant messages (headers and think blocks are not learned).

    In ``chat`` style past replies have another form, so only a last message is learned and spoken. ``ValueError``
    for content in a message that cannot hold it, see :class:`Message`, and for tool calls and results.
    """
    sample = TrainingSample()
    written = written_messages(messages)
    if any(map(is_about_tools, written)):
        raise ValueError("a training sample cannot hold tool calls or results: expected text and audio")
    for i, message in enumerate(written):
        if message.role == "assistant" and (writer.style != "chat" or i == len(written) - 1):
            _learn(writer, sample, message)
        else:
            _append(sample, writer.encode(writer.past_message(message)))
        sample.audios.extend(audio_sources(message))
    return sample


def _learn(writer: MessageWriter, sample: TrainingSample, message: Message) -> None:
    _append(sample, writer.encode([*writer.header("assistant"), *writer.opening()]))
    for item in message.content:
        spoken = isinstance(item, Spoken)
        if spoken and sample.token_types[-1]:
            raise ValueError("two spoken replies in a row cannot be separated: expected text between them")
        _append(sample, writer.encode(writer.content(item)), learned=True, spoken=spoken)
        if isinstance(item, Spoken):
            sample.units.append(item.units)
            sample.speakers.append(item.speaker)
    _append(sample, writer.encode(writer.footer()), learned=True)


def _append(sample: TrainingSample, ids: list[int], *, learned: bool = False, spoken: bool = False) -> None:
    sample.input_ids.extend(ids)
    sample.token_types.extend([int(spoken)] * len(ids))
    sample.labels.extend(ids if learned else [IGNORED] * len(ids))
