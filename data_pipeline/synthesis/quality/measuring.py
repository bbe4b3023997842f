"""All measures of a message: first of its text, then of its clip."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.steps.speaker_embedding import SpeakerEncoder
from data_pipeline.synthesis.protocols import Recogniser, Speech
from data_pipeline.synthesis.quality.audio_measures import measure_audio
from data_pipeline.synthesis.quality.dnsmos import Dnsmos
from data_pipeline.synthesis.quality.emotion import EmotionClassifier
from data_pipeline.synthesis.quality.measures import Measures
from data_pipeline.synthesis.quality.prosody_features import prosody_features
from data_pipeline.synthesis.quality.safety import (
    find_digits,
    find_refusal,
    find_thinking,
    find_unsafe,
    find_unspeakable,
)
from data_pipeline.synthesis.quality.speaker_similarity import speaker_similarity
from data_pipeline.synthesis.quality.words import script_share, split_words, word_error


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredClip:
    """A clip to measure, with the text that is spoken in it. ``label`` is its emotion or tone; ``reference`` is another
    clip of the same speaker."""

    text: str
    language: str
    speech: Speech
    label: str = ""
    speaker: str = ""
    reference: Speech | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """The models that measure a clip. One that is None measures nothing. ``baselines`` are those of the emotion
    classifier for the speakers of the messages."""

    recogniser: Recogniser | None = None
    dnsmos: Dnsmos | None = None
    speaker_encoder: SpeakerEncoder | None = None
    emotions: EmotionClassifier | None = None
    baselines: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def measure_text(text: str, language: str) -> Measures:
    """The measures of a text, before it is spoken."""
    return Measures(
        words=len(split_words(text)),
        script_share=script_share(text, language),
        refusal=find_refusal(text),
        thinking=find_thinking(text),
        unsafe=find_unsafe(text),
        unspeakable=find_unspeakable(text),
        digits=find_digits(text),
    )


def measure_clip(clip: MeasuredClip, models: Models) -> Measures:
    """The measures of a text and its clip. A clip without sound is not passed to the models.

    Raises :class:`~data_pipeline.records.RejectedRow` where the recogniser has no answer, ``ValueError`` for a text
    without words or a clip without samples.
    """
    measures = measure_text(clip.text, clip.language)
    audio = measure_audio(clip.speech)
    assert measures.words is not None
    measures = replace(measures, **asdict(audio), speech_rate=audio.speech_rate(measures.words))
    if not audio.speech_seconds:
        return measures
    if models.recogniser is not None:
        transcript = models.recogniser.transcribe(clip.speech, clip.language)
        measures = replace(measures, transcript=transcript, word_error=word_error(clip.text, transcript))
    if models.dnsmos is not None:
        scores = models.dnsmos.measure(clip.speech)
        measures = replace(measures, dnsmos_overall=scores.overall, dnsmos_p808=scores.p808)
    if models.speaker_encoder is not None and clip.reference is not None:
        similarity = speaker_similarity(models.speaker_encoder, clip.speech, clip.reference)
        measures = replace(measures, speaker_similarity=similarity)
    if models.emotions is not None:
        emotion, probability = _emotion(models.emotions, clip, models.baselines)
        measures = replace(measures, recognised_emotion=emotion, emotion_probability=probability)
    return measures


def _emotion(
    classifier: EmotionClassifier, clip: MeasuredClip, baselines: Mapping[str, NDArray[np.float64]]
) -> tuple[str, float | None]:
    """The most probable class, and the probability of the label if it is one of the classes."""
    features = prosody_features(clip.speech)[None]
    (probabilities,) = classifier.probabilities(features, [clip.speaker], baselines)
    known = clip.label in classifier.classes
    return (
        classifier.classes[int(probabilities.argmax())],
        float(probabilities[classifier.classes.index(clip.label)]) if known else None,
    )
