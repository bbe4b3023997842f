"""The voices of flite, a program of its own (Debian package ``flite``): needed to build a spoken corpus, never to run.

``slt`` is the clearest voice that this project can make for itself, and the reply voice that small models learn.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.synthesis.voices import PROSODY, EspeakSpeaker, Feeling, Voice, VoiceError
from opens2s_core.audio import Waveform, decode_audio

SLT = Voice(name="slt")
_NEUTRAL = PROSODY["neutral"]
_PLAIN_RATE = Voice(name="").rate
"""Words per minute at which a voice speaks as it was recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Person:
    """A voice's own pitch range (standard deviation in Hz), and the factor that brings it to the others' loudness."""

    spread: float
    gain: float


FLITE_VOICES = {
    "slt": _Person(spread=27, gain=0.6),
    "awb": _Person(spread=25, gain=0.8),
    "rms": _Person(spread=15, gain=0.9),  # joined recordings: its pitch stays as it is
    "kal16": _Person(spread=11, gain=1.6),
}


class FliteMissing(RuntimeError):
    """flite is not installed on this machine."""


def find_flite() -> str | None:
    """The program's path, where it is installed."""
    return shutil.which("flite")


def require_flite() -> str:
    """The program's path. Raises :class:`FliteMissing`, which says how to install it."""
    if (program := find_flite()) is None:
        raise FliteMissing(f"the voices {', '.join(FLITE_VOICES)} need the program flite: apt-get install flite")
    return program


class FliteSpeaker:
    """flite at its own 16 kHz; feeling is rendered as speed, pitch and loudness.

    A neutral voice at the plain rate and pitch is left as it is but for its loudness. Raises :class:`VoiceError`.
    """

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        if not (text.isascii() and any(char.isalnum() for char in text)):
            raise VoiceError(f"nothing that flite can say: expected English words, got {text!r}")
        # flite itself takes its first voice for an unknown one in silence.
        if (person := FLITE_VOICES.get(voice.name)) is None:
            raise VoiceError(f"unknown voice {voice.name!r}: expected one of {', '.join(FLITE_VOICES)}")
        settings = _settings(person, voice, feeling)
        # Through the input, neither a shell nor flite's own options can mistake the text for something else.
        command = [require_flite(), "-voice", voice.name, *settings, "-o"]
        with tempfile.TemporaryDirectory() as directory:
            sound = Path(directory, "sound.wav")  # flite goes back to write the header: a pipe would not do
            subprocess.run([*command, sound], input=" ".join(text.split()).encode(), capture_output=True, check=True)
            samples, rate = decode_audio(sound.read_bytes())
        gain = person.gain * PROSODY[feeling].volume / _NEUTRAL.volume
        return np.clip(samples * np.float32(gain), -1.0, 1.0), rate


def _settings(person: _Person, voice: Voice, feeling: Feeling) -> list[str]:
    prosody = PROSODY[feeling]
    values = {
        "duration_stretch": _PLAIN_RATE / voice.rate * _NEUTRAL.rate / prosody.rate,
        "f0_shift": (0.5 + voice.pitch / 100) * prosody.pitch / _NEUTRAL.pitch,
    }
    if prosody.range != _NEUTRAL.range:
        values["int_f0_target_stddev"] = person.spread * prosody.range / _NEUTRAL.range
    return [part for name, value in values.items() for part in ("--setf", f"{name}={value:.4f}")]


class EmbeddedSpeaker:
    """Every voice of this package by its name: flite's, or espeak-ng's ``language+variant``."""

    def __init__(self) -> None:
        self._flite, self._espeak = FliteSpeaker(), EspeakSpeaker()

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        speaker = self._flite if voice.name in FLITE_VOICES else self._espeak
        return speaker.speak(text, voice, feeling)
