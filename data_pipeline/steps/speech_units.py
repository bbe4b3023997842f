"""Reply waveforms → speech units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from data_pipeline.steps.decode import DecodedTurn
from opens2s_core.audio import Waveform


class UnitEncoder(Protocol):
    """What a speech tokenizer does, for any number of clips at once."""

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        """Codebook ids of each 16 kHz waveform."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitTurn:
    """A turn whose reply is speech units."""

    id: str
    user_text: str
    user_audio: bytes
    user_samples: int
    reply_text: str
    reply_units: tuple[int, ...]
    reply_samples: int


def encode_turns(turns: Sequence[DecodedTurn], encoder: UnitEncoder, *, batch_size: int) -> list[UnitTurn]:
    """The turns, in order, their replies encoded ``batch_size`` at a time."""
    units = [
        ids
        for start in range(0, len(turns), batch_size)
        for ids in encoder.encode([turn.reply for turn in turns[start : start + batch_size]])
    ]
    return [
        UnitTurn(
            id=turn.id,
            user_text=turn.user_text,
            user_audio=turn.user_audio,
            user_samples=len(turn.user),
            reply_text=turn.reply_text,
            reply_units=tuple(ids),
            reply_samples=len(turn.reply),
        )
        for turn, ids in zip(turns, units, strict=True)
    ]
