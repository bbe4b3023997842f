"""The embedded voices: espeak-ng, which `espeakng-loader` carries as a library and its data."""

import _ctypes
import ctypes
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from xml.sax.saxutils import escape

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from data_pipeline.records import Emotion
from opens2s_core.audio import Waveform

Feeling = Literal["neutral", "happy", "sad", "angry", "afraid", "surprised"]
FEELINGS: tuple[Feeling, ...] = ("neutral", "happy", "sad", "angry", "afraid", "surprised")
EMOTIONS: dict[Feeling, Emotion] = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "afraid": "fearful",
    "surprised": "surprised",
}
"""Feeling → label of prepared data."""


class VoiceError(ValueError):
    """A voice or a text that a speaker cannot say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """Who speaks: an espeak-ng ``language+variant``, words per minute, and pitch from 0 to 99 (50 as designed)."""

    name: str
    rate: int = 165
    pitch: int = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Prosody:
    """Per cent of the voice's own rate, pitch and pitch range, and of full loudness."""

    rate: int
    pitch: int
    range: int
    volume: int


PROSODY: dict[Feeling, Prosody] = {
    "neutral": Prosody(rate=100, pitch=100, range=80, volume=70),
    "happy": Prosody(rate=108, pitch=130, range=160, volume=85),
    "sad": Prosody(rate=78, pitch=80, range=40, volume=50),
    "angry": Prosody(rate=118, pitch=95, range=130, volume=110),
    "afraid": Prosody(rate=125, pitch=145, range=50, volume=60),
    "surprised": Prosody(rate=95, pitch=125, range=200, volume=95),
}

_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland")
_VARIANTS = (
    *("f1", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"),
    *("Annie", "Alicia", "belinda", "linda", "steph", "anika", "Alex", "Andy", "Gene", "Lee", "Mike", "Michael"),
    *("adam", "david", "edward", "john", "max", "norbert", "pedro", "robert", "rob", "travis"),
)
USER_VOICES = tuple(
    Voice(name=f"{_ACCENTS[i % len(_ACCENTS)]}+{variant}", rate=150 + 5 * (i % 7), pitch=42 + 4 * (i % 5))
    for i, variant in enumerate(_VARIANTS)
)
"""Many speakers: the readily understood variants, spread over accents, rates and pitches."""
REPLY_VOICE = Voice(name="en-us+f2")
"""The variant a recogniser understands best; no user has it."""


class Speaker(Protocol):
    """Text to speech. The same input gives the same samples."""

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        """Mono samples in [-1, 1] and their rate in Hz."""
        ...


# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 1 << 15
_RATE, _PITCH = 1, 3
_UTF8, _SSML = 1, 0x10
_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

# The library keeps its state in globals of the process.
_lock = threading.Lock()


class EspeakSpeaker:
    """espeak-ng at its own 22 050 Hz; feeling is rendered as prosody. Raises :class:`VoiceError`."""

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        if not text.strip():
            raise VoiceError(f"nothing to say: {text!r}")
        # espeak-ng itself falls back to the plain voice in silence.
        variant = voice.name.partition("+")[2]
        if not (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / variant).exists():
            raise VoiceError(f"unknown variant {variant!r} of voice {voice.name!r}: expected one such as 'f2'")
        prosody = PROSODY[feeling]
        settings = (
            f'rate="{prosody.rate}%" pitch="{prosody.pitch}%" range="{prosody.range}%" volume="{prosody.volume}%"'
        )
        with _lock:
            samples, rate = _synthesise(f"<speak><prosody {settings}>{escape(text)}</prosody></speak>", voice)
        return samples.astype(np.float32) / 32768.0, rate


def _synthesise(ssml: str, voice: Voice) -> tuple[NDArray[np.int16], int]:
    """One utterance from a fresh image of the library.

    Jitter and filter states live on in its globals from one utterance to the next, and neither seeding nor
    ``espeak_Terminate`` resets them: only loading it anew (4 ms with the synthesis) makes an utterance repeatable.
    """
    parts: list[NDArray[np.int16]] = []

    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _SynthCallback(collect)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _DO_NOT_EXIT)
        assert rate > 0, f"espeak-ng did not start: error {rate}"
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise VoiceError(f"unknown voice {voice.name!r}: expected an espeak-ng language+variant such as 'en-us+f2'")
        library.espeak_SetParameter(_RATE, voice.rate, 0)
        library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        # Breath noise comes from the C library's generator and from espeak-ng's own.
        ctypes.CDLL(None).srand(1)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        text = ssml.encode()
        status = library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _SSML, None, None)
        assert status == 0, f"espeak-ng did not speak: error {status}"
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)
    return np.concatenate(parts), rate
