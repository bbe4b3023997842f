from collections.abc import Iterator

import numpy as np
import pytest

from data_pipeline.dialogues import opening
from data_pipeline.dialogues.config import SIX_EMOTIONS, BuildConfig, QualityConfig, TextConfig, VoicesConfig
from data_pipeline.dialogues.opening import ConfiguredTools, open_emotions, open_writer
from data_pipeline.synthesis.embedded_writer import EmbeddedWriter
from data_pipeline.synthesis.llm_writer import LLMWriter
from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.quality.prosody_features import prosody_features
from data_pipeline.synthesis.speakers.cosyvoice import CosyVoiceSpeaker
from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker

TEXTS = TextConfig(empathetic=1)
UNKNOWN = QualityConfig(recogniser="nobody")


@pytest.fixture(autouse=True)
def nothing_is_open() -> Iterator[None]:
    yield
    for opened in (opening.open_writer, opening._speaker, opening._models, opening._units):
        opened.cache_clear()


def test_writers_are_opened_by_their_names() -> None:
    assert isinstance(open_writer("embedded"), EmbeddedWriter)
    writer = open_writer("openai:http://127.0.0.1:1/v1#some/model")
    assert isinstance(writer, LLMWriter)
    assert "some/model" in writer.name


@pytest.mark.parametrize(
    "spec", ["", "nobody", "embedded:", "openai", "openai:http://host", "openai:#m", "openai:ftp://host#m"]
)
def test_an_unknown_writer_is_an_error(spec: str) -> None:
    with pytest.raises(ValueError, match=f"^unknown writer '{spec}': expected embedded or openai:URL#MODEL$"):
        open_writer(spec)


def test_a_writer_is_opened_once() -> None:
    assert open_writer("embedded") is open_writer("embedded")


def test_each_side_has_its_speaker_opened_once() -> None:
    voices = VoicesConfig(user_speaker="cosyvoice2:http://127.0.0.1:1")
    one, other = (ConfiguredTools(BuildConfig(texts=TEXTS, voices=voices)) for _ in range(2))
    assert isinstance(one.speaker("user"), CosyVoiceSpeaker)
    assert isinstance(one.speaker("reply"), EmbeddedSpeaker)
    assert one.speaker("user") is other.speaker("user")
    assert one.speaker("reply") is other.speaker("reply")


@pytest.mark.parametrize("side", ["user", "reply"])
def test_an_unknown_speaker_of_either_side_is_found_before_anything_is_spoken(side: str) -> None:
    voices = VoicesConfig(**{f"{side}_speaker": "nobody"})
    with pytest.raises(ValueError, match=r"^unknown speaker 'nobody'"):
        ConfiguredTools(BuildConfig(texts=TEXTS, voices=voices)).open_all()


def test_models_are_opened_where_they_measure_a_share() -> None:
    with pytest.raises(ValueError, match=r"^unknown recogniser 'nobody'"):
        ConfiguredTools(BuildConfig(texts=TEXTS, quality=UNKNOWN)).open_all()
    ConfiguredTools(BuildConfig(texts=TEXTS, quality=QualityConfig(recogniser="nobody", share=0))).open_all()


def test_dnsmos_is_opened_where_it_is_wanted() -> None:
    quality = QualityConfig(recogniser="openai:http://127.0.0.1:1#model", dnsmos=False)
    models = ConfiguredTools(BuildConfig(texts=TEXTS, quality=quality)).models()
    assert models.dnsmos is None
    assert models.recogniser is not None


def test_without_a_bundle_there_is_no_speech_tokenizer() -> None:
    assert ConfiguredTools(BuildConfig(texts=TEXTS)).units() is None


def test_the_embedded_classifier_recognises_most_emotions_of_the_embedded_voices() -> None:
    classifier, speaker = open_emotions("embedded"), EmbeddedSpeaker()
    assert set(classifier.classes) == set(SIX_EMOTIONS)
    requests = [
        SpeechRequest(text="I did not expect to see her there.", voice="espeak:en-us+f2", emotion=emotion, seed=seed)
        for emotion in SIX_EMOTIONS
        for seed in range(4)
    ]
    features = np.stack([prosody_features(speaker.speak(request)) for request in requests])
    found = classifier.predict(features, ["f2"] * len(requests), {})
    right = sum(emotion == request.emotion for emotion, request in zip(found, requests, strict=True))
    assert right > len(requests) / 2
