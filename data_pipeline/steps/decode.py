"""Encoded sound → waveforms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline.steps.rejects import Unusable
from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform, decode_audio


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedTurn:
    """A row of schema DIALOGUE, as far as training needs it."""

    id: str
    user_text: str
    user_audio: bytes
    reply_text: str
    reply_audio: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedTurn:
    """Waveforms are mono at 16 kHz; ``user_audio`` stays encoded for the sample."""

    id: str
    user_text: str
    user_audio: bytes
    user: Waveform
    reply_text: str
    reply: Waveform


def encoded_turn(row: Mapping[str, Any]) -> EncodedTurn:
    return EncodedTurn(**{name: row[name] for name in ("id", "user_text", "user_audio", "reply_text", "reply_audio")})


def decode_turn(turn: EncodedTurn, *, max_seconds: float) -> DecodedTurn:
    """Both sounds of a turn; a longer one is refused before it is decoded whole. Raises :class:`Unusable`."""
    return DecodedTurn(
        id=turn.id,
        user_text=turn.user_text,
        user_audio=turn.user_audio,
        user=_decode("user", turn.user_audio, max_seconds),
        reply_text=turn.reply_text,
        reply=_decode("reply", turn.reply_audio, max_seconds),
    )


def _decode(who: str, data: bytes, max_seconds: float) -> Waveform:
    try:
        samples, rate = decode_audio(data, max_seconds=max_seconds)
    except AudioError as error:
        raise Unusable(f"bad {who} audio: {error}") from error
    if rate != SAMPLE_RATE:
        raise Unusable(f"wrong rate of {who} audio: {rate} Hz, expected {SAMPLE_RATE}")
    return samples
