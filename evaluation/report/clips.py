"""Audio clips inside a page, bounded in size."""

import base64
from dataclasses import dataclass

from opens2s_core.audio import AudioError, decode_audio, encode_audio, resample

SECONDS = 30
"""How much of a clip is kept."""
BYTES = 12_000_000
"""Of all clips of a page as MP3; in base64 they are a third larger."""
_LONGEST = 600.0
"""Seconds that are decoded at most."""
_RATES = (16_000, 24_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """``url`` holds the audio itself; it is empty where ``note`` says why the clip cannot be played."""

    url: str = ""
    note: str = ""


class ClipEncoder:
    """Turns clips into MP3 until the page has :data:`BYTES` of them. Clips after that are left out."""

    def __init__(self) -> None:
        self._left = BYTES

    def encode(self, audio: bytes) -> Clip:
        """The first :data:`SECONDS` of audio in any format that :func:`~opens2s_core.audio.decode_audio` reads."""
        if self._left <= 0:
            return Clip(note="Audio left out: the page has as much as it may.")
        try:
            samples, rate = decode_audio(audio, max_seconds=_LONGEST)
        except AudioError as error:
            return Clip(note=f"Audio cannot be shown: {error}")
        seconds = len(samples) / rate
        samples = samples[: SECONDS * rate]
        if rate not in _RATES:
            samples, rate = resample(samples, rate, _RATES[-1]), _RATES[-1]
        clip = encode_audio(samples, rate, container="mp3")
        self._left -= len(clip)
        note = f"The first {SECONDS} of {seconds:.0f} s." if seconds > SECONDS else ""
        return Clip(url=f"data:audio/mpeg;base64,{base64.b64encode(clip).decode()}", note=note)
