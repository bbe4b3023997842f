"""Speech for tests, by espeak-ng."""

from typing import Any

from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from data_pipeline.synthesis.speakers.espeak import EspeakSpeaker

WOMAN, MAN = "espeak:en-us+f2", "espeak:en-us+m3"


def speak(text: str, voice: str = WOMAN, **settings: Any) -> Speech:
    """At 22 050 Hz, neutral unless the settings of the request are others."""
    return EspeakSpeaker().speak(SpeechRequest(text=text, voice=voice, **settings))
