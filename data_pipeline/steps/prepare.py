"""The clips of a row as every later step reads them: mono, 16 kHz, FLAC."""

from dataclasses import dataclass, replace

import numpy as np

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.records import AudioReference, RejectedRow, Utterance
from data_pipeline.steps.clips import read_clip
from data_pipeline.steps.filters import SILENCE
from data_pipeline.steps.loudness import LoudnessConfig, set_loudness
from data_pipeline.steps.row import PreparedRow, audio_references
from data_pipeline.steps.voice_activity import TrimConfig, trim_silence
from opens2s_core.audio import SAMPLE_RATE, Waveform, encode_audio, resample

_MISSING = 0.25
"""Seconds by which a clip may be shorter than its corpus states: tables are rounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipConfig:
    """Clips have at most ``max_seconds`` before they are trimmed, and at least ``min_seconds`` afterwards.

    None leaves the loudness, or the silence before and after speech, unchanged: both may convey emotion.
    """

    min_seconds: float = 0.5
    max_seconds: float = 30.0
    loudness: LoudnessConfig | None = None
    trim: TrimConfig | None = None

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"expected 0 < min_seconds <= max_seconds, got {self.min_seconds:g} and {self.max_seconds:g}"
            )


def prepare_clips(row: PreparedRow, files: CorpusFiles, config: ClipConfig) -> PreparedRow:
    """The row with its ``clips``. Raises :class:`RejectedRow`, as :func:`read_clip` and :func:`trim_silence` do, and
    for ``silent`` or ``too short`` clips, and those ``cut short`` of the duration that the corpus states."""
    stated = row.entry.duration if isinstance(row.entry, Utterance) else None
    waveforms = [_prepare(files, reference, stated, config) for reference in audio_references(row.entry)]
    return replace(
        row,
        clips=tuple(encode_audio(samples, SAMPLE_RATE) for samples in waveforms),
        clip_samples=tuple(len(samples) for samples in waveforms),
    )


def _prepare(files: CorpusFiles, reference: AudioReference, stated: float | None, config: ClipConfig) -> Waveform:
    samples, rate = read_clip(files, reference, max_seconds=config.max_seconds)
    if stated is not None and (seconds := len(samples) / rate) < stated - _MISSING:
        raise RejectedRow(
            f"cut short: {reference.path}: audio ends at {seconds:.2f} s of the {stated:.2f} s that the corpus states"
        )
    samples = resample(samples, rate, SAMPLE_RATE)
    if (peak := float(np.abs(samples).max(initial=0.0))) < SILENCE:
        raise RejectedRow(f"silent: peak {peak:.1e}, expected at least {SILENCE:g}")
    if config.trim is not None:
        samples = trim_silence(samples, config.trim)
    if (seconds := len(samples) / SAMPLE_RATE) < config.min_seconds:
        raise RejectedRow(f"too short: {seconds:.3f} s, expected at least {config.min_seconds:g} s")
    if config.loudness is not None:
        samples = set_loudness(samples, config.loudness)
    return samples
