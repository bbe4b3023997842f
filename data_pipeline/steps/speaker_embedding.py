"""Speech → a vector of its speaker."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_pipeline.records import RejectedRow
from data_pipeline.steps.row import PreparedRow, decode_clip, speech_clips, spoken_replies
from opens2s_core.audio import Waveform


class SpeakerEncoder(Protocol):
    """A speaker encoder. Its vectors have unit length."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        """Vectors (n, dim) of n 16 kHz waveforms, none of them empty."""
        ...


class ResemblyzerEncoder:
    """Resemblyzer's GE2E encoder with the weights in its package: 256 numbers."""

    dim = 256

    def __init__(self, device: str = "cpu") -> None:
        from resemblyzer import VoiceEncoder  # librosa, which it imports, is large, and few recipes need it

        self._encoder = VoiceEncoder(device, verbose=False)

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        vectors = [self._encoder.embed_utterance(waveform) for waveform in waveforms]
        return np.stack(vectors) if vectors else np.zeros((0, self.dim), np.float32)


class SpeakerEmbeddings:
    """A model step that makes ``speakers``: the vector of an utterance's clip, or of each spoken reply of a
    conversation. Vectors in the corpus are kept; a reply with units and no clip has none."""

    def __init__(self, encoder: SpeakerEncoder) -> None:
        self._encoder = encoder

    def __call__(self, rows: Sequence[PreparedRow]) -> list[Mapping[str, Any] | RejectedRow]:
        """Rejected is a row of a ``bad speaker vector``: of another width than the encoder's, or not of finite
        numbers."""
        known = [_known_vectors(row) for row in rows]
        clips = [
            (row, clip)
            for row, vectors in zip(rows, known, strict=True)
            for clip, vector in zip(speech_clips(row.entry), vectors, strict=True)
            if clip is not None and not vector
        ]
        made = iter(self._encoder.embed([decode_clip(row, clip) for row, clip in clips]).tolist())
        results: list[Mapping[str, Any] | RejectedRow] = []
        for row, vectors in zip(rows, known, strict=True):
            speakers = tuple(
                tuple(next(made)) if clip is not None and not vector else vector
                for clip, vector in zip(speech_clips(row.entry), vectors, strict=True)
            )
            bad = [len(vector) for vector in speakers if vector and not self._fits(vector)]
            results.append(
                RejectedRow(f"bad speaker vector: {bad[0]} numbers, expected {self._encoder.dim} finite ones")
                if bad
                else {"speakers": speakers}
            )
        return results

    def _fits(self, vector: tuple[float, ...]) -> bool:
        return len(vector) == self._encoder.dim and bool(np.isfinite(vector).all())


def _known_vectors(row: PreparedRow) -> list[tuple[float, ...]]:
    """Vectors in the corpus for each of :func:`speech_clips`, empty where it has none."""
    return [content.speaker_embedding for content in spoken_replies(row.entry)] or [() for _ in speech_clips(row.entry)]
