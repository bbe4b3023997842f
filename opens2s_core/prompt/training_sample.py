"""Conversations as training samples of the LLM: ids, labels and token types."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opens2s_core.prompt.messages import Message, Spoken, audio_sources, normalised_messages, uses_tools
from opens2s_core.prompt.writer import MessageWriter

IGNORED = -100
"""Label of a position without loss."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One conversation; the first three lists have one entry per position and one per audio slot."""

    input_ids: list[int] = field(default_factory=list)
    token_types: list[int] = field(
        default_factory=list
    )  # 1 in a spoken reply, whose hidden states are the input of the speech decoder
    labels: list[int] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)  # Audio.source of each slot, in reading order
    units: list[tuple[int, ...]] = field(default_factory=list)  # per spoken reply, in reading order
    speakers: list[tuple[float, ...]] = field(default_factory=list)  # per spoken reply


def training_sample(writer: MessageWriter, messages: Sequence[Message]) -> TrainingSample:
    """The conversation with labels on assistant messages, without their headers and think blocks.

    In ``chat`` style earlier replies are rendered differently, so only a last message has labels and units.
    ``ValueError`` for content that a message cannot hold, see :class:`Message`, and for tool calls and results.
    """
    sample = TrainingSample()
    written = normalised_messages(messages)
    if any(map(uses_tools, written)):
        raise ValueError("a training sample cannot hold tool calls or results: expected text and audio")
    for i, message in enumerate(written):
        if message.role == "assistant" and (writer.style != "chat" or i == len(written) - 1):
            _append_labelled(writer, sample, message)
        else:
            _append(sample, writer.encode(writer.past_message(message)))
        sample.audios.extend(audio_sources(message))
    return sample


def _append_labelled(writer: MessageWriter, sample: TrainingSample, message: Message) -> None:
    _append(sample, writer.encode([*writer.header("assistant"), *writer.opening()]))
    for item in message.content:
        spoken = isinstance(item, Spoken)
        if spoken and sample.token_types[-1]:
            raise ValueError("two consecutive spoken replies cannot be separated: expected text between them")
        _append(sample, writer.encode(writer.content(item)), learned=True, spoken=spoken)
        if isinstance(item, Spoken):
            sample.units.append(item.units)
            sample.speakers.append(item.speaker)
    _append(sample, writer.encode(writer.footer()), learned=True)


def _append(sample: TrainingSample, ids: list[int], *, learned: bool = False, spoken: bool = False) -> None:
    sample.input_ids.extend(ids)
    sample.token_types.extend([int(spoken)] * len(ids))
    sample.labels.extend(ids if learned else [IGNORED] * len(ids))
