"""All embedded voices behind one speaker."""

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from data_pipeline.synthesis.protocols import Speaker, Speech, SpeechRequest
from data_pipeline.synthesis.speakers.espeak import EspeakSpeaker
from data_pipeline.synthesis.speakers.espeak_voices import ESPEAK_VOICES
from data_pipeline.synthesis.speakers.flite import FLITE_VOICES, FliteMissing, FliteSpeaker
from data_pipeline.synthesis.speakers.piper import PIPER_VOICES, PiperSpeaker
from data_pipeline.synthesis.speakers.voice import EmbeddedVoice, VoiceError

EMBEDDED_VOICES: dict[str, EmbeddedVoice] = {**ESPEAK_VOICES, **FLITE_VOICES, **PIPER_VOICES}
"""By name. flite's need the program, Piper's two wheels."""


class EmbeddedSpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` of :data:`EMBEDDED_VOICES`."""

    def __init__(self) -> None:
        self._speakers: dict[str, Speaker] = {
            "espeak": EspeakSpeaker(),
            "flite": FliteSpeaker(),
            "piper": PiperSpeaker(),
        }

    @property
    def name(self) -> str:
        """The programs that are installed, with their versions."""
        names = []
        for speaker in self._speakers.values():
            with suppress(PackageNotFoundError, FliteMissing):
                names.append(speaker.name)
        return ", ".join([*names, f"praat-parselmouth {version('praat-parselmouth')}"])

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for an unknown voice or a request to clone, and what the voice's own speaker
        raises."""
        if request.reference is not None:
            raise VoiceError("embedded voices cannot clone a reference clip: expected a request with a voice alone")
        if request.voice not in EMBEDDED_VOICES:
            raise VoiceError(f"unknown voice {request.voice!r}: expected one of EMBEDDED_VOICES, such as 'piper:joe'")
        return self._speakers[request.voice.partition(":")[0]].speak(request)


def require_voices(names: Iterable[str]) -> None:
    """Let one voice of each program speak a word, before thousands of utterances are begun.

    Raises :class:`VoiceError` for an unknown voice, and what a missing program raises, which says how to install it:
    :class:`FliteMissing` or ImportError.
    """
    speaker = EmbeddedSpeaker()
    for name in {name.partition(":")[0]: name for name in names}.values():
        speaker.speak(SpeechRequest(text="Yes.", voice=name))
