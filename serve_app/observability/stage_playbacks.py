"""How near the listeners of one replica are to running out of audio, by what it has made for each."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opens2s_core.inference.family import is_final
from opens2s_core.inference.messages import AudioChunk, StageMessage, Units
from opens2s_core.inference.playback import Playback
from serve_app.stages.messages import StageRequest

NOBODY = 3600.0
"""Seconds of headroom where nobody listens."""


def audio_seconds(message: StageMessage, *, sample_rate: int, units_per_second: float) -> float:
    """Seconds of audio that a message is, or will become; 0 for other messages."""
    match message:
        case Units(ids):
            return len(ids) / units_per_second
        case AudioChunk(samples):
            return len(samples) / sample_rate
        case _:
            return 0.0


class StagePlayback:
    """One listener, who plays what the stage makes as if it was audio already."""

    def __init__(self, request: StageRequest) -> None:
        self._request = request
        self.playback = Playback()

    def add(self, messages: Sequence[StageMessage]) -> None:
        rate, units_per_second = self._request.sample_rate, self._request.units_per_second
        for message in messages:
            if seconds := audio_seconds(message, sample_rate=rate, units_per_second=units_per_second):
                self.playback.add(seconds)
            if isinstance(message, Units | AudioChunk) and is_final(message):
                self.playback.end()


class StagePlaybacks:
    """The listeners of one replica."""

    def __init__(self) -> None:
        self._playbacks: set[StagePlayback] = set()

    @contextmanager
    def of(self, request: StageRequest) -> Iterator[StagePlayback]:
        """One more, for as long as its reply lasts."""
        playback = StagePlayback(request)
        self._playbacks.add(playback)
        try:
            yield playback
        finally:
            self._playbacks.discard(playback)

    def least_headroom(self) -> float:
        """Seconds of audio left for the listener who has the least."""
        least = min((one.playback.headroom() for one in self._playbacks), default=math.inf)
        return min(least, NOBODY)
