"""Measures of one spoken reply."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import numpy as np

from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder, SpeakerEncoder
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.audio_measures import measure_audio
from data_pipeline.synthesis.quality.dnsmos import Dnsmos
from data_pipeline.synthesis.quality.prosody_features import FEATURES, prosody_features
from data_pipeline.synthesis.quality.speaker_similarity import speaker_similarity
from data_pipeline.synthesis.quality.words import split_words
from evaluation.items import Reply
from evaluation.scores import Metric


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured value with its weight in the sum over replies, as in :class:`~evaluation.scores.Score`."""

    metric: str
    value: float
    weight: float = 1.0


WORD_ERROR = Metric(name="word_error", title="Word error of the speech", unit="%", scale=100, higher_is_better=False)
FIRST_TEXT = Metric(name="first_text", title="First text", unit="s", higher_is_better=False)
FIRST_AUDIO = Metric(name="first_audio", title="First audio", unit="s", higher_is_better=False)
REAL_TIME_FACTOR = Metric(name="real_time_factor", title="Real-time factor", higher_is_better=False)
TIMES = (FIRST_TEXT, FIRST_AUDIO, REAL_TIME_FACTOR)

CLIP_METRICS: tuple[tuple[Metric, str], ...] = (
    (Metric(name="dnsmos_overall", title="DNSMOS overall (P.835)", unit="of 5"), "speechmos"),
    (Metric(name="dnsmos_p808", title="DNSMOS P.808", unit="of 5"), "speechmos"),
    (Metric(name="speaker_similarity", title="Speaker similarity (cosine)"), "resemblyzer"),
    (Metric(name="pitch", title="Median pitch above 100 Hz", unit="semitones"), "parselmouth"),
    (Metric(name="pitch_range", title="Pitch range, 5th to 95th percentile", unit="semitones"), "parselmouth"),
    (Metric(name="speech_rate", title="Speech rate", unit="words/s"), ""),
    (Metric(name="loudness", title="Loudness", unit="LUFS"), ""),
)
"""Those of a clip, and the package that each needs; a mean over replies."""


def is_installed(package: str) -> bool:
    return not package or find_spec(package) is not None


def word_error(reply: Reply) -> Measure | None:
    """Errors of the transcript, weighted by the words of the reply's own text; Chinese is counted by characters. None
    without a transcript, or for a text without words. Raises ``ImportError`` without jiwer."""
    text = " ".join(split_words(reply.text))
    if reply.transcript is None or not text:
        return None
    from opens2s_core.benchmark.word_error import count_word_errors

    counted = count_word_errors(text, " ".join(split_words(reply.transcript)))
    return Measure(WORD_ERROR.name, counted.errors, counted.words)


def times(reply: Reply) -> Iterator[Measure]:
    """The known ones of :data:`TIMES`. The real-time factor is weighted by the seconds of audio."""
    if reply.first_text is not None:
        yield Measure(FIRST_TEXT.name, reply.first_text)
    if reply.first_audio is not None:
        yield Measure(FIRST_AUDIO.name, reply.first_audio)
    if reply.seconds is not None and reply.audio_seconds:
        yield Measure(REAL_TIME_FACTOR.name, reply.seconds, reply.audio_seconds)


class ClipMeasures:
    """:data:`CLIP_METRICS` of clips, as far as their packages are installed. A model is opened for the first clip."""

    def measure(self, text: str, speech: Speech, reference: Speech | None) -> Iterator[Measure]:
        """Those that the clip has: a clip without sound has none. ``reference`` is of the wanted speaker."""
        audio = measure_audio(speech)
        if not audio.speech_seconds:
            return
        if is_installed("speechmos"):
            scores = self._dnsmos.measure(speech)
            yield Measure("dnsmos_overall", scores.overall)
            yield Measure("dnsmos_p808", scores.p808)
        if reference is not None and is_installed("resemblyzer"):
            yield Measure("speaker_similarity", speaker_similarity(self._encoder, speech, reference))
        if is_installed("parselmouth"):
            features = prosody_features(speech)
            for metric, feature in (("pitch", "f0_median"), ("pitch_range", "f0_range")):
                if np.isfinite(value := features[FEATURES.index(feature)]):
                    yield Measure(metric, float(value))
        if (rate := audio.speech_rate(len(split_words(text)))) is not None:
            yield Measure("speech_rate", rate)
        if audio.loudness is not None:
            yield Measure("loudness", audio.loudness)

    @cached_property
    def _dnsmos(self) -> Dnsmos:
        return Dnsmos()

    @cached_property
    def _encoder(self) -> SpeakerEncoder:
        return ResemblyzerEncoder()
