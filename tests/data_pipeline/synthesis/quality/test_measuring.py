from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.emotion import EmotionClassifier
from data_pipeline.synthesis.quality.measures import Measures, QualityBounds, reject_reason
from data_pipeline.synthesis.quality.measuring import MeasuredClip, Models, measure_clip, measure_text
from data_pipeline.synthesis.quality.prosody_features import FEATURES, prosody_features
from opens2s_core.audio import Waveform
from tests.spoken import speak

TEXT = "We can talk about it tomorrow."
SILENT = Speech(np.zeros(16_000, np.float32), 16_000)


@pytest.fixture(scope="module")
def clip() -> Speech:
    return speak(TEXT)


class Recogniser:
    """Always the same transcript."""

    name = "fixed"

    def __init__(self, transcript: str | RejectedRow) -> None:
        self.transcript = transcript
        self.languages: list[str] = []

    def transcribe(self, speech: Speech, language: str) -> str:
        self.languages.append(language)
        if isinstance(self.transcript, RejectedRow):
            raise self.transcript
        return self.transcript


class Encoder:
    """Orthogonal vectors."""

    dim = 2

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        return np.eye(2, dtype=np.float32)[: len(waveforms)]


def test_texts_are_measured_before_they_are_spoken() -> None:
    assert measure_text("I'm sorry, but I can't. It is 10 😊", "en") == Measures(
        words=8,
        script_share=1.0,
        refusal="I'm sorry, but I",
        thinking="",
        unsafe="",
        unspeakable="😊",
        digits="10",
    )


def test_a_clip_is_measured_without_models(clip: Speech) -> None:
    measures = measure_clip(MeasuredClip(text=TEXT, language="en", speech=clip), Models())
    assert measures.words == 6
    assert measures.duration == pytest.approx(len(clip.samples) / clip.rate)
    assert measures.speech_rate is not None
    assert 2 < measures.speech_rate < 6
    assert (measures.transcript, measures.dnsmos_overall, measures.speaker_similarity) == (None, None, None)
    assert reject_reason(measures, QualityBounds()) is None


def test_the_recogniser_gives_transcript_and_word_error(clip: Speech) -> None:
    pytest.importorskip("jiwer")
    recogniser = Recogniser("we can walk about it tomorrow")
    message = MeasuredClip(text=TEXT, language="en", speech=clip)
    measures = measure_clip(message, Models(recogniser=recogniser))
    assert measures.transcript == "we can walk about it tomorrow"
    assert measures.word_error == pytest.approx(1 / 6)
    assert recogniser.languages == ["en"]


def test_a_recogniser_without_an_answer_rejects_the_message(clip: Speech) -> None:
    with pytest.raises(RejectedRow, match=r"^no transcript: x$"):
        measure_clip(
            MeasuredClip(text=TEXT, language="en", speech=clip),
            Models(recogniser=Recogniser(RejectedRow("no transcript: x"))),
        )


def test_speakers_are_compared_where_there_is_a_reference(clip: Speech) -> None:
    models = Models(speaker_encoder=Encoder())
    alone = MeasuredClip(text=TEXT, language="en", speech=clip)
    beside = MeasuredClip(text=TEXT, language="en", speech=clip, reference=clip)
    assert measure_clip(alone, models).speaker_similarity is None
    assert measure_clip(beside, models).speaker_similarity == 0.0


def test_the_emotion_is_compared_with_the_label(clip: Speech) -> None:
    pytest.importorskip("parselmouth")
    pitch = prosody_features(clip)[0]
    weights = np.zeros((len(FEATURES), 2))
    weights[0] = (0.0, 1.0)  # one semitone above the mean is e times as probably happy as sad
    classifier = EmotionClassifier(
        classes=("sad", "happy"),
        mean=np.zeros(len(FEATURES)),
        scale=np.ones(len(FEATURES)),
        weights=weights,
        bias=np.zeros(2),
    )
    baseline = np.zeros(len(FEATURES))
    baseline[0] = pitch - 2
    models = Models(emotions=classifier, baselines={"anna": baseline})
    for label, probability in (("happy", 1 / (1 + np.exp(-2))), ("sad", 1 / (1 + np.exp(2))), ("bored", None)):
        message = MeasuredClip(text=TEXT, language="en", speech=clip, label=label, speaker="anna")
        measures = measure_clip(message, models)
        assert measures.recognised_emotion == "happy"
        assert measures.emotion_probability == (None if probability is None else pytest.approx(probability))


def test_a_silent_clip_is_not_passed_to_models() -> None:
    recogniser = Recogniser("hello")
    message = MeasuredClip(text=TEXT, language="en", speech=SILENT, reference=SILENT)
    measures = measure_clip(message, Models(recogniser=recogniser, speaker_encoder=Encoder()))
    assert recogniser.languages == []
    assert (measures.speaker_similarity, measures.loudness) == (None, None)
    assert reject_reason(measures, QualityBounds()) == "silence: 1.00 of the clip, expected at most 0.6"
