"""Rows as a corpus's reader and the steps make them, for tests."""

from typing import Any

import numpy as np

from data_pipeline.records import AudioReference, Content, Conversation, ConversationMessage, Utterance
from data_pipeline.steps.row import PreparedRow
from opens2s_core.audio import SAMPLE_RATE, Waveform, encode_audio, resample
from tests.spoken import WOMAN, speak


def utterance(**fields: Any) -> Utterance:
    defaults = {
        "id": "u1",
        "corpus": "corpus",
        "split": "train",
        "language": "en",
        "audio": AudioReference(path="u1.flac"),
        "text": "It rained all day.",
    }
    return Utterance(**(defaults | fields))


def conversation(*messages: tuple[str, tuple[Content, ...]], **fields: Any) -> Conversation:
    defaults = {"id": "c1", "corpus": "corpus", "split": "train", "language": "en"}
    return Conversation(
        **(defaults | fields),
        messages=tuple(ConversationMessage(role=role, content=content) for role, content in messages),
    )


def row(entry: Utterance | Conversation, *clips: Waveform, **fields: Any) -> PreparedRow:
    """``clips`` are 16 kHz waveforms."""
    return PreparedRow(
        shard="00000",
        position=0,
        entry=entry,
        clips=tuple(encode_audio(clip, SAMPLE_RATE) for clip in clips),
        clip_samples=tuple(len(clip) for clip in clips),
        **fields,
    )


def clip(path: str) -> AudioReference:
    return AudioReference(path=path)


def speech(text: str = "It rained all day.", voice: str = WOMAN) -> Waveform:
    """At 16 kHz."""
    spoken = speak(text, voice)
    return resample(spoken.samples, spoken.rate, SAMPLE_RATE)


def silence(seconds: float) -> Waveform:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)
