"""Audio files of clients, as they are or in base64, as the samples that the model reads."""

import base64
import binascii

from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform, decode_audio, resample

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n"


def decode_input(data: str, *, max_seconds: float) -> Waveform:
    """Base64 of an audio file of at most ``max_seconds`` → mono samples (n,) at 16 kHz. Raises :class:`AudioError`.

    The base64 may have line breaks, the URL-safe alphabet, no padding, and a data URL around it
    (``data:audio/wav;base64,…``).
    """
    file = _from_base64(_without_data_url(data) if data.startswith("data:") else data)
    return decode_file(file, max_seconds=max_seconds)


def decode_file(file: bytes, *, max_seconds: float) -> Waveform:
    """An audio file of at most ``max_seconds`` → mono samples (n,) at 16 kHz. Raises :class:`AudioError`."""
    if not file:
        raise AudioError("audio is empty: it has no bytes")
    return resample(*decode_audio(file, max_seconds=max_seconds), SAMPLE_RATE)


def _without_data_url(url: str) -> str:
    head, marker, encoded = url.partition(";base64,")
    if not marker or "," in head:
        raise AudioError("data URL: expected 'data:<media type>;base64,' before the audio")
    return encoded


def _from_base64(text: str) -> bytes:
    try:
        encoded = text.encode("ascii").translate(_URL_SAFE, delete=_WHITE_SPACE).rstrip(b"=")
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise AudioError(f"not base64 ({len(text)} characters): {error}") from error
