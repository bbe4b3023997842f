"""Speech → speech units."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from data_pipeline.records import RejectedRow
from data_pipeline.steps.row import PreparedRow, decode_clip, speech_clips, spoken_replies
from opens2s_core.audio import Waveform


class UnitEncoder(Protocol):
    """A speech tokenizer, for any number of clips at once."""

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        """Codebook ids of each 16 kHz waveform."""
        ...


class SpeechUnits:
    """A model step that makes ``units``: those of an utterance's clip, or of each spoken reply of a conversation. Units
    in the corpus are kept."""

    def __init__(self, encoder: UnitEncoder | None, codes: int) -> None:
        """``codes``: the size of the codebook. Without an ``encoder`` all units have to be in the corpus."""
        self._encoder, self._codes = encoder, codes

    def __call__(self, rows: Sequence[PreparedRow]) -> list[Mapping[str, Any] | RejectedRow]:
        """All clips of the batch are encoded at once. A row with a clip without units is rejected."""
        known = [_known_units(row) for row in rows]
        clips = [
            (row, clip)
            for row, units in zip(rows, known, strict=True)
            for clip, found in zip(speech_clips(row.entry), units, strict=True)
            if not found and clip is not None
        ]
        made = iter(self._encode([decode_clip(row, clip) for row, clip in clips]))
        results: list[Mapping[str, Any] | RejectedRow] = []
        for units in known:
            encoded = tuple(found or tuple(next(made)) for found in units)
            results.append(self._problem(encoded) or {"units": encoded})
        return results

    def _encode(self, waveforms: list[Waveform]) -> list[list[int]]:
        if self._encoder is None:
            return [[] for _ in waveforms]
        return self._encoder.encode(waveforms) if waveforms else []

    def _problem(self, encoded: tuple[tuple[int, ...], ...]) -> RejectedRow | None:
        for number, units in enumerate(encoded):
            if not units:
                return RejectedRow(f"no units: clip {number} of {len(encoded)}, expected at least one unit")
            if unknown := [unit for unit in units if not 0 <= unit < self._codes]:
                return RejectedRow(f"bad units: {unknown[0]} in clip {number}, expected 0 to {self._codes - 1}")
        return None


def _known_units(row: PreparedRow) -> list[tuple[int, ...]]:
    """Units in the corpus for each of :func:`speech_clips`, empty where it has none."""
    return [content.units for content in spoken_replies(row.entry)] or [() for _ in speech_clips(row.entry)]
