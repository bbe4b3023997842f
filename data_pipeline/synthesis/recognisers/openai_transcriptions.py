"""Transcripts from an endpoint with OpenAI's audio transcriptions."""

import json
from dataclasses import dataclass

from data_pipeline.openai_endpoint import open_client, request_errors
from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import encode_audio


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAITranscriptionsConfig:
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


class OpenAITranscriptions:
    """Clips are sent as FLAC. The key is ``OPENAI_API_KEY`` in the environment, ``none`` where it is not set."""

    def __init__(self, config: OpenAITranscriptionsConfig) -> None:
        self._config = config
        self.name = f"{config.model}, OpenAI transcriptions"
        self._client = open_client(config.base_url, retries=config.retries, timeout_seconds=config.timeout_seconds)

    def transcribe(self, speech: Speech, language: str) -> str:
        """Raises :class:`RejectedRow` (``no transcript``) for a clip that the server refuses, does not answer after all
        retries, or answers with something else than a transcript; ``openai.APIStatusError`` for a refused key or an
        unknown model."""
        config = self._config
        try:
            with request_errors("no transcript", config.base_url, config.retries):
                answer: object = self._client.audio.transcriptions.create(
                    model=config.model,
                    file=("clip.flac", encode_audio(speech.samples, speech.rate), "audio/flac"),
                    language=language,
                    response_format="json",
                    temperature=0.0,
                )
        except json.JSONDecodeError as error:
            answer = error.doc
        # The client returns what is no JSON as it is, and does not check fields.
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise RejectedRow(
                f"no transcript: {config.base_url} answered {str(answer)[:200]!r}, expected JSON with a text"
            )
        return text
