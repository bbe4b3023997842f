"""Speech from a server with OpenAI's ``/v1/audio/speech``."""

from dataclasses import dataclass

import openai

from data_pipeline.openai_endpoint import open_client, request_errors
from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from data_pipeline.synthesis.speakers.http_audio import check_speech
from data_pipeline.synthesis.speakers.voice import VoiceError
from opens2s_core.audio import AudioError, decode_whole_audio


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAISpeakerConfig:
    """``base_url`` ends with the version, as in ``http://host:8000/v1``.

    ``retries`` are made after status 408, 409, 429 or 5xx, a lost connection, or ``timeout_seconds`` without an answer,
    each after a longer wait, or the wait that the server requests.
    """

    base_url: str
    model: str
    retries: int = 5
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.retries < 0 or self.timeout_seconds <= 0:
            raise ValueError(
                f"expected retries >= 0 and timeout_seconds > 0, got {self.retries} and {self.timeout_seconds:g}"
            )


class OpenAISpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` of the server's own voices. Tone or emotion is sent as
    ``instructions``. How many requests run at once is the caller's choice. The key is ``OPENAI_API_KEY`` in the
    environment, ``none`` where it is not set."""

    def __init__(self, config: OpenAISpeakerConfig) -> None:
        self._config = config
        self._client = open_client(config.base_url, retries=config.retries, timeout_seconds=config.timeout_seconds)

    @property
    def name(self) -> str:
        return self._config.model

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for a request to clone; :class:`RejectedRow` for a text that the server refuses
        and for an answer that is no speech; :class:`Unavailable` where there is no answer after all retries;
        ``openai.APIStatusError`` for a refused key or an unknown model."""
        if request.reference is not None or not request.voice:
            raise VoiceError("/v1/audio/speech has voices by name and cannot clone: expected a request with a voice")
        config = self._config
        with request_errors("no answer", config.base_url, config.retries):
            response = self._client.audio.speech.create(
                model=config.model,
                voice=request.voice,
                input=request.text,
                instructions=_instructions(request) or openai.omit,
                response_format="wav",
            )
        data = response.content
        try:
            samples, rate = decode_whole_audio(data)
        except AudioError as error:
            raise RejectedRow(
                f"bad audio: {config.base_url} returned {data[:80]!r}, expected a WAV file: {error}"
            ) from error
        check_speech(samples, rate, config.base_url)
        return Speech(samples, rate)


def _instructions(request: SpeechRequest) -> str:
    if request.tone:
        return f"Speak in a {request.tone} tone."
    if request.emotion not in ("neutral", "other", ""):
        return f"Sound {request.emotion}."
    return ""
