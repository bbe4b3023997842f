"""The text and audio that a request may hold in all."""

from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform
from serve_app.api.audio_input import decode_input
from serve_app.config import Limits
from serve_app.errors import ApiError


class RequestBudget:
    """What is left of the limits on text and audio, of which ``text_chars`` are used already."""

    def __init__(self, limits: Limits, *, text_chars: int = 0) -> None:
        self._limits = limits
        self.text_chars = text_chars
        self._audio_seconds = 0.0

    def text(self, text: str, param: str) -> str:
        """``text`` itself. Raises :class:`ApiError` about the field ``param``."""
        self.text_chars += len(text)
        if self.text_chars > self._limits.max_text_chars:
            message = f"too much text: expected at most {self._limits.max_text_chars} characters in all"
            raise ApiError(400, message, param=param)
        return text

    def audio(self, data: str, param: str) -> Waveform:
        """The samples (n,) at 16 kHz of ``data``, base64 of a file. Raises :class:`ApiError` about ``param``."""
        try:
            samples = decode_input(data, max_seconds=self._limits.max_audio_seconds - self._audio_seconds)
        except AudioError as error:
            raise ApiError(400, str(error), param=param) from error
        self._audio_seconds += len(samples) / SAMPLE_RATE
        return samples
