"""Sound on the wire: what clients send becomes 16 kHz samples, what the model says the format they asked for."""

import base64
import binascii
import io
import struct
from typing import Literal

import numpy as np
import soundfile

from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform, decode_audio, resample

AudioFormat = Literal["wav", "pcm16", "flac", "mp3", "opus"]
STREAMED_FORMATS: tuple[AudioFormat, ...] = ("pcm16", "wav")
"""Formats whose parts can be sent as they come."""

_OPUS_RATE = 24_000
_UNKNOWN_LENGTH = 0xFFFFFFFF


def decode_input(data: str, *, max_seconds: float) -> Waveform:
    """Base64 of a sound file of at most ``max_seconds`` → mono samples at 16 kHz. Raises :class:`AudioError`."""
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AudioError(f"not base64 ({len(data)} characters): {error}") from error
    if not raw:
        raise AudioError("sound is empty: it has no bytes")
    samples, rate = decode_audio(raw, max_seconds=max_seconds)
    return resample(samples, rate, SAMPLE_RATE)


def pcm16(samples: Waveform) -> bytes:
    """Samples in [-1, 1] → little-endian signed 16-bit, as a wav file holds them."""
    return np.rint(np.clip(samples, -1.0, 1.0) * 0x7FFF).astype("<i2").tobytes()


def stream_header(audio_format: AudioFormat, rate: int) -> bytes:
    """What goes before the first samples of a streamed reply: a wav header of unknown length, or nothing."""
    if audio_format != "wav":
        return b""
    form = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_LENGTH, b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return form + layout + struct.pack("<4sI", b"data", _UNKNOWN_LENGTH)


def encode_whole(samples: Waveform, rate: int, audio_format: AudioFormat) -> bytes:
    """A finished reply as a file of the format asked for (``pcm16``: bare samples at ``rate``)."""
    if audio_format == "pcm16":
        return pcm16(samples)
    file = io.BytesIO()
    if audio_format == "mp3":
        soundfile.write(file, samples, rate, format="MP3")
    elif audio_format == "opus":
        # Opus knows only its own few rates, the model's is not among them.
        soundfile.write(file, resample(samples, rate, _OPUS_RATE), _OPUS_RATE, format="OGG", subtype="OPUS")
    else:
        # As integers: from floats the library rounds otherwise than we do, and a stream would differ from a file.
        whole = np.frombuffer(pcm16(samples), "<i2")
        soundfile.write(file, whole, rate, format=audio_format.upper(), subtype="PCM_16")
    return file.getvalue()
