"""espeak-ng, which the wheel ``espeakng-loader`` carries as a library with its data: many speakers of all ages."""

import _ctypes
import ctypes
import functools
import math
import threading
from importlib.metadata import version
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from data_pipeline.synthesis.speakers.effects import change_pitch, finish
from data_pipeline.synthesis.speakers.espeak_voices import ESPEAK_VOICES, EspeakVoice
from data_pipeline.synthesis.speakers.prosody import draw
from data_pipeline.synthesis.speakers.voice import EXTRA, VoiceError, check_request_text
from opens2s_core.audio import Waveform, resample

_NORMAL_PITCH, _UNITS_PER_OCTAVE = 50, 50
"""Of espeak-ng's pitch setting."""

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 1 << 15
_RATE, _PITCH = 1, 3
_UTF8, _SSML = 1, 0x10
_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

# The library keeps its state in globals of the process.
_lock = threading.Lock()


class EspeakSpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` of :data:`ESPEAK_VOICES` at 22 050 Hz.

    Rate is espeak-ng's own setting; pitch, pauses and loudness are changed in the clip. The same request gives the same
    samples. Threads take turns in the library: use processes for more than one core.
    """

    @property
    def name(self) -> str:
        return f"espeakng-loader {version('espeakng-loader')}"

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for an unknown voice, and :class:`RejectedRow` for a text in another language or
        without words."""
        voice = ESPEAK_VOICES.get(request.voice)
        if voice is None:
            raise VoiceError(
                f"unknown voice {request.voice!r}: expected one of ESPEAK_VOICES, such as 'espeak:en-us+f2'"
            )
        check_request_text(request.text, request.language, voice)
        prosody = draw(request.emotion, request.tone, request.seed)
        samples, rate = synthesise(request.text, prosody.rate, voice)
        samples = change_pitch(samples, rate, prosody.pitch, prosody.pitch_range)
        return Speech(finish(samples, rate, prosody), rate)


def synthesise(text: str, rate_factor: float, voice: EspeakVoice) -> tuple[Waveform, int]:
    """An utterance without changes of pitch, pauses and loudness: samples (n,) and their rate in Hz."""
    ssml = f'<speak><prosody rate="{100 * rate_factor:.0f}%">{escape(text)}</prosody></speak>'
    samples, rate = _run_espeak(ssml, voice)
    # Played at another rate, the formants move, and with them the tempo and the pitch, which the settings make up for.
    # Only the ratio of the two rates counts; that of small numbers takes short filters.
    return resample(samples.astype(np.float32) / 32768.0, round(voice.formants * 20), 20), rate


def _run_espeak(ssml: str, voice: EspeakVoice) -> tuple[NDArray[np.int16], int]:
    """One utterance from a fresh image of the library.

    Jitter and filter states stay in its globals from one utterance to the next, and neither seeding nor
    ``espeak_Terminate`` resets them: only loading it anew (4 ms with the synthesis) makes an utterance repeatable.
    """
    library_path, data_path = library_paths()
    # espeak-ng itself falls back to the plain voice without an error.
    variant = voice.variant.partition("+")[2]
    if not (data_path / "voices" / "!v" / variant).exists():
        raise VoiceError(f"unknown variant {variant!r} of voice {voice.name!r}: expected one such as 'f2'")
    parts: list[NDArray[np.int16]] = []

    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _SynthCallback(collect)
    with _lock:
        library = ctypes.CDLL(library_path)
        try:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data_path).encode(), _DO_NOT_EXIT)
            assert rate > 0, f"espeak-ng did not start: error {rate}"
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(voice.variant.encode()) != 0:
                raise VoiceError(
                    f"unknown voice {voice.variant!r}: expected an espeak-ng language+variant such as 'en-us+f2'"
                )
            library.espeak_SetParameter(_RATE, round(voice.words_per_minute / voice.formants), 0)
            octaves = voice.pitch / 12 - math.log2(voice.formants)
            library.espeak_SetParameter(_PITCH, round(_NORMAL_PITCH + _UNITS_PER_OCTAVE * octaves), 0)
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


@functools.cache
def library_paths() -> tuple[str, Path]:
    """Of the library, and of its data."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise ImportError(f"espeak-ng's voices need espeakng-loader (pip install '{EXTRA}')") from error
    return espeakng_loader.get_library_path(), Path(espeakng_loader.get_data_path())
