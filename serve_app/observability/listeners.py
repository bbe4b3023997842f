"""How near listeners are to running dry, by what a stage has made for each since it began to."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opens2s_core.inference.messages import AudioChunk, StageMessage, Units
from serve_app.gateway.calls import UNITS_PER_SECOND, ends_a_part

NOBODY_WAITS = 3600.0
"""Seconds of slack where nobody listens."""


class Listener:
    """Someone who hears what is made as soon as it is, without a break. ``rate`` is that of sound, in Hz."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._began: float | None = None
        self._seconds = 0.0  # made
        self._ended = False

    def hear(self, messages: Sequence[StageMessage]) -> None:
        for message in messages:
            match message:
                case Units(ids):
                    self._seconds += len(ids) / UNITS_PER_SECOND
                case AudioChunk(samples):
                    self._seconds += len(samples) / self._rate
                case _:
                    continue
            self._ended |= ends_a_part(message)
            if self._began is None and self._seconds:
                self._began = self._clock()

    def slack(self) -> float:
        """Seconds until this one runs dry; negative where it has."""
        if self._began is None or self._ended:
            return NOBODY_WAITS
        return self._seconds - (self._clock() - self._began)


class Listeners:
    """Those of one replica."""

    def __init__(self) -> None:
        self._here: set[Listener] = set()

    @contextmanager
    def listening(self, rate: int) -> Iterator[Listener]:
        """One more, for as long as its reply lasts."""
        listener = Listener(rate)
        self._here.add(listener)
        try:
            yield listener
        finally:
            self._here.discard(listener)

    def slack(self) -> float:
        """Of the one who is nearest to running dry."""
        return min((listener.slack() for listener in self._here), default=NOBODY_WAITS)
