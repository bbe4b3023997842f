"""Writers, speakers, recognisers and models by their names, opened once in a process."""

from functools import lru_cache
from importlib import resources
from typing import get_args

import fsspec

from data_pipeline.dialogues.config import BuildConfig, QualityConfig
from data_pipeline.dialogues.services import ServiceError, service_errors
from data_pipeline.dialogues.speech import synthesise
from data_pipeline.dialogues.utterances import PlannedUtterance, Side, Voice
from data_pipeline.preparation.bundle import load_unit_encoder
from data_pipeline.records import RejectedRow
from data_pipeline.service_names import openai_service
from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder
from data_pipeline.steps.speech_units import UnitEncoder
from data_pipeline.synthesis.protocols import Person, Speaker, Writer
from data_pipeline.synthesis.quality.dnsmos import Dnsmos
from data_pipeline.synthesis.quality.emotion import EmotionClassifier
from data_pipeline.synthesis.quality.measuring import Models
from data_pipeline.synthesis.recognisers.opening import open_recogniser
from data_pipeline.synthesis.speakers.registry import open_speaker


@lru_cache(maxsize=1)
def open_writer(spec: str) -> Writer:
    """``embedded`` or ``openai:URL#MODEL``. ``ValueError`` for any other text."""
    if spec == "embedded":
        from data_pipeline.synthesis.embedded_writer import EmbeddedWriter

        return EmbeddedWriter()
    if service := openai_service(spec):
        from data_pipeline.chat_client import EndpointConfig
        from data_pipeline.synthesis.llm_writer import LLMWriter, LLMWriterConfig

        return LLMWriter(LLMWriterConfig(endpoint=EndpointConfig(base_url=service[0], model=service[1])))
    raise ValueError(f"unknown writer {spec!r}: expected embedded or openai:URL#MODEL")


_TRIAL = {"en": "Hello, how are you today?", "zh": "你好，你今天怎么样？"}
"""By language."""


class ConfiguredTools:
    """The :class:`~data_pipeline.dialogues.speech.Tools` of a configuration."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def open_all(self) -> None:
        """Raises what opening them in workers would: ``ValueError``, and ``ImportError`` where a package is missing."""
        for side in get_args(Side):
            self.speaker(side)
        if self._config.quality.share:
            self.models()

    def try_out(self, user_voice: Voice) -> None:
        """Let both speakers speak a few words, and the recogniser transcribe them, before thousands are written.

        Raises :class:`ServiceError` for a service that does not do so, ``ValueError`` and ``OSError`` for voices.
        """
        config = self._config
        language = config.texts.language
        voices: dict[Side, Voice] = {"user": user_voice, "reply": config.voices.reply_voice}
        for side, voice in voices.items():
            utterance = PlannedUtterance(
                side=side,
                text=_TRIAL[language],
                language=language,
                voice=voice,
                person=Person(),
                tone="" if side == "user" else "warm",
                seed=0,
            )
            step = f"{side} speaker"
            try:
                with service_errors():
                    speech = synthesise(utterance, self.speaker(side))
                    step = "recogniser"
                    if config.quality.share and (recogniser := self.models().recogniser) is not None:
                        recogniser.transcribe(speech, language)
            except RejectedRow as error:
                raise ServiceError(f"{step}: {error}") from None

    def speaker(self, side: Side) -> Speaker:
        voices = self._config.voices
        return _speaker(voices.user_speaker if side == "user" else voices.reply_speaker)

    def models(self) -> Models:
        return _models(self._config.quality)

    def units(self) -> UnitEncoder | None:
        return _units(self._config.model) if self._config.model else None


_speaker = lru_cache(maxsize=2)(open_speaker)
_units = lru_cache(maxsize=1)(load_unit_encoder)


@lru_cache(maxsize=1)
def _models(config: QualityConfig) -> Models:
    return Models(
        recogniser=open_recogniser(config.recogniser),
        dnsmos=Dnsmos() if config.dnsmos else None,
        speaker_encoder=ResemblyzerEncoder() if config.similarity else None,
        emotions=open_emotions(config.emotions) if config.emotions else None,
    )


def open_emotions(source: str) -> EmotionClassifier:
    """The classifier of :class:`~data_pipeline.dialogues.config.QualityConfig`."""
    if source == "embedded":
        with (resources.files("data_pipeline.synthesis.quality") / "embedded_emotions.npz").open("rb") as file:
            return EmotionClassifier.load(file)
    with fsspec.open(source, "rb") as file:
        return EmotionClassifier.load(file)
