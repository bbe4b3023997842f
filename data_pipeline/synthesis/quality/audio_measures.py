"""Duration, clipping, silence and loudness of a clip, and the rate of speech in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.steps.filters import SILENCE
from data_pipeline.steps.loudness import measure_loudness
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import SAMPLE_RATE, Waveform, resample

FRAME_SECONDS = 0.01
"""Resolution of silences."""
_BELOW_LOUDEST = 10 ** (-40 / 20)
"""RMS, relative to the loudest frame, below which a frame is silent."""
_FULL_SCALE = 0.999
_CLIPPED_RUN = 3
"""Samples in a row at full scale that are clipped: a peak has fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioMeasures:
    """Fields of :class:`~data_pipeline.synthesis.quality.measures.Measures`. Seconds, and shares of the whole clip.

    A frame of 10 ms is silent if it is 40 dB below the loudest one, or below -60 dBFS. In a clip without sound all of
    it is leading and trailing silence. ``loudness`` is None for a clip without sound or shorter than 0.4 s.
    """

    duration: float
    peak: float
    clipped_share: float
    silence_share: float
    longest_silence: float
    leading_silence: float
    trailing_silence: float
    loudness: float | None  # LUFS

    @property
    def speech_seconds(self) -> float:
        """From the first to the last sound."""
        return max(0.0, self.duration - self.leading_silence - self.trailing_silence)

    def speech_rate(self, words: int) -> float | None:
        """Words per second of speech. None for a clip without sound."""
        return words / self.speech_seconds if self.speech_seconds else None


def measure_audio(speech: Speech) -> AudioMeasures:
    """Raises ``ValueError`` for a clip without samples."""
    samples, rate = speech.samples, speech.rate
    if not len(samples):
        raise ValueError("expected a clip with samples, got none")
    silences = _silences(samples, rate)
    lengths = [stop - start for start, stop in silences]
    return AudioMeasures(
        duration=len(samples) / rate,
        peak=float(np.abs(samples).max()),
        clipped_share=_clipped_share(samples),
        silence_share=sum(lengths) / len(samples),
        longest_silence=max(lengths, default=0) / rate,
        leading_silence=lengths[0] / rate if silences and silences[0][0] == 0 else 0.0,
        trailing_silence=lengths[-1] / rate if silences and silences[-1][1] == len(samples) else 0.0,
        loudness=measure_loudness(resample(samples, rate, SAMPLE_RATE)),
    )


def _silences(samples: Waveform, rate: int) -> list[tuple[int, int]]:
    """Samples from and to which the clip is silent. The last frame is as long as the others or shorter."""
    starts = np.arange(0, len(samples), max(1, round(rate * FRAME_SECONDS)))
    edges = np.append(starts, len(samples))
    rms = np.sqrt(np.add.reduceat(np.square(samples, dtype=np.float64), starts) / np.diff(edges))
    silent = rms <= max(SILENCE, rms.max() * _BELOW_LOUDEST)
    return [(int(edges[start]), int(edges[stop])) for start, stop in _runs(silent)]


def _clipped_share(samples: Waveform) -> float:
    lengths = [stop - start for start, stop in _runs(np.abs(samples) >= _FULL_SCALE)]
    return sum(length for length in lengths if length >= _CLIPPED_RUN) / len(samples)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and the index after the last one of each run of True."""
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))
