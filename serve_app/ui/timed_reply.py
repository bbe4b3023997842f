"""One spoken exchange with a served model, and how long its parts took."""

from dataclasses import dataclass

import numpy as np

from opens2s_core.audio import Waveform, encode_audio
from serve_app.ui.client import Endpoint, Reply, Settings, Turn

SILENCE = 1e-3
"""Samples below this amplitude (-60 dBFS) count as silence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A reply and its times in seconds since it was asked for; None where there was no such thing."""

    text: str
    samples: Waveform
    sample_rate: int
    first_text: float | None
    first_audio: float | None  # when a listener who plays at once hears the first sample that is not silence
    whole: float

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of sound."""
        return self.whole * self.sample_rate / len(self.samples) if len(self.samples) else None

    def table(self) -> str:
        """The times, one a line, for people."""
        rows = {"first text": self.first_text, "first audio": self.first_audio, "whole reply": self.whole}
        lines = [f"{name:<18}{'-' if value is None else f'{value * 1000:.0f} ms':>10}" for name, value in rows.items()]
        if self.real_time_factor is not None:
            lines.append(f"{'sound':<18}{len(self.samples) / self.sample_rate:>8.2f} s")
            lines.append(f"{'real-time factor':<18}{self.real_time_factor:>10.2f}")
        return "\n".join(lines)


async def converse(endpoint: Endpoint, sound: Waveform, rate: int, settings: Settings) -> Exchange:
    """Say ``sound`` (mono, ``rate`` Hz) to the model and take its whole streamed reply.

    Raises :class:`serve_app.ui.client.EndpointError`.
    """
    reply, heard = Reply(0), None
    turn = Turn(role="user", wav=encode_audio(sound, rate, container="wav"))
    async for piece in endpoint.reply([turn], settings):
        before = len(reply.samples())
        reply.add(piece)
        if heard is None and piece.pcm:
            loud = np.flatnonzero(np.abs(reply.samples()[before:]) > SILENCE)
            heard = reply.elapsed() + loud[0] / reply.rate if len(loud) else None
    return Exchange(
        text=reply.text,
        samples=reply.samples(),
        sample_rate=reply.rate,
        first_text=reply.first_text,
        first_audio=heard,
        whole=reply.elapsed(),
    )
