"""The embedded voices as data, and the errors of all of them."""

import unicodedata
from dataclasses import dataclass

from data_pipeline.records import Age, Gender, RejectedRow

EXTRA = "opens2s-on-ray[synthesis]"
"""The optional dependencies of the embedded voices."""


class VoiceError(ValueError):
    """A voice that a speaker does not have. It ends the job: every row with this voice would get it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedVoice:
    """A voice with the labels of its speaker, and the one language that it speaks (ISO 639-1)."""

    name: str  # as in SpeechRequest.voice: ``<program>:<voice>``
    gender: Gender
    age: Age
    language: str = "en"


def check_request_text(text: str, language: str, voice: EmbeddedVoice) -> None:
    """Raises :class:`~data_pipeline.records.RejectedRow` for a text that ``voice`` cannot speak: one in another
    language or script, without letters and digits, or with control characters. The programs would spell or cut it."""
    if language != voice.language:
        raise RejectedRow(f"wrong language: voice {voice.name} speaks {voice.language!r}, the text is {language!r}")
    if not any(char.isalnum() for char in text):
        raise RejectedRow(f"nothing to speak: expected letters or digits, got {text!r}")
    for char in text:
        if not (char.isprintable() or char.isspace()):
            raise RejectedRow(f"bad text: expected no control characters, got {char!r} in {text!r}")
        if language == "en" and char.isalpha() and not unicodedata.name(char, "").startswith("LATIN"):
            raise RejectedRow(f"bad text: expected Latin letters, got {char!r} in {text!r}")
