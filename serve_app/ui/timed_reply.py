"""One spoken message to a served model, its reply, and how long the parts of the reply took."""

from dataclasses import dataclass

import numpy as np

from opens2s_core.audio import Waveform, encode_audio
from serve_app.ui.client import ChatEndpoint, Message, Settings
from serve_app.ui.conversation import IncomingReply

SILENCE = 1e-3
"""Samples below this amplitude (-60 dBFS) count as silence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedReply:
    """A reply and its times in seconds since the request; None where there was no such thing."""

    text: str
    samples: Waveform
    sample_rate: int
    first_text: float | None
    first_audio: float | None  # when the first sample that is not silence is played, if playback starts at once
    total: float

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of audio."""
        return self.total * self.sample_rate / len(self.samples) if len(self.samples) else None

    def table(self) -> str:
        """The times, one a line, for people."""
        rows = {"first text": self.first_text, "first audio": self.first_audio, "whole reply": self.total}
        lines = [f"{name:<18}{'-' if value is None else f'{value * 1000:.0f} ms':>10}" for name, value in rows.items()]
        if self.real_time_factor is not None:
            lines.append(f"{'audio':<18}{len(self.samples) / self.sample_rate:>8.2f} s")
            lines.append(f"{'real-time factor':<18}{self.real_time_factor:>10.2f}")
        return "\n".join(lines)


async def timed_reply(endpoint: ChatEndpoint, audio: Waveform, rate: int, settings: Settings) -> TimedReply:
    """Send ``audio`` (mono, ``rate`` Hz) to the model and receive its whole streamed reply.

    Raises :class:`serve_app.ui.client.EndpointError`.
    """
    reply, first_audio = IncomingReply(0), None
    message = Message(role="user", audio=encode_audio(audio, rate))
    async for delta in endpoint.reply([message], settings):
        before = len(reply.samples())
        reply.add(delta)
        if first_audio is None and delta.pcm:
            loud = np.flatnonzero(np.abs(reply.samples()[before:]) > SILENCE)
            first_audio = reply.elapsed() + loud[0] / reply.rate if len(loud) else None
    return TimedReply(
        text=reply.text,
        samples=reply.samples(),
        sample_rate=reply.rate,
        first_text=reply.first_text,
        first_audio=first_audio,
        total=reply.elapsed(),
    )
