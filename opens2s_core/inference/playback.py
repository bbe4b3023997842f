"""Model of a client's playback buffer, used for pacing, priorities, autoscaling and metrics."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Playback:
    """The playback buffer of a client that plays audio as it arrives. Times are in seconds.

    ``underrun`` is the total time with an empty buffer, ``longest_underrun`` the longest such interval. ``gaps`` are
    the times between arrivals.
    """

    clock: Callable[[], float] = time.monotonic
    seconds: float = 0.0  # of audio received
    underrun: float = 0.0
    longest_underrun: float = 0.0
    gaps: list[float] = field(default_factory=list)
    ended: bool = False  # no more audio follows
    _started: float | None = None
    _last_arrival: float | None = None
    _buffer_end: float = 0.0  # when the buffer runs empty

    @property
    def started(self) -> bool:
        return self._started is not None

    def start(self) -> None:
        """Start playback now, even without audio. Later calls have no effect."""
        if self._started is None:
            self._started = self._buffer_end = self.clock()

    def add(self, seconds: float) -> None:
        """Add received audio; the first starts playback."""
        now = self.clock()
        self.start()
        if self._last_arrival is not None:
            self.gaps.append(now - self._last_arrival)
        waited = max(0.0, now - self._buffer_end)
        self.underrun += waited
        self.longest_underrun = max(self.longest_underrun, waited)
        self._last_arrival = now
        self._buffer_end = max(self._buffer_end, now) + seconds
        self.seconds += seconds

    def end(self) -> None:
        self.ended = True

    def headroom(self) -> float:
        """Seconds until the buffer runs empty, negative if it has; infinite before the start and after the end."""
        if self._started is None or self.ended:
            return math.inf
        return self._buffer_end - self.clock()

    def played(self) -> float:
        """Seconds of audio played."""
        if self._started is None:
            return 0.0
        return self.seconds - max(0.0, self._buffer_end - self.clock())
