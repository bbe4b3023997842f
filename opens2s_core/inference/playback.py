"""The model of playback that pacing, priorities, autoscaling and metrics share."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Playback:
    """A listener who plays audio as it arrives, from its start on, and waits where none is left. Times are in seconds.

    ``underrun`` is how long it waited in all, ``longest_underrun`` at most at once. ``gaps`` are the times between
    arrivals.
    """

    clock: Callable[[], float] = time.monotonic
    seconds: float = 0.0  # of audio that arrived
    underrun: float = 0.0
    longest_underrun: float = 0.0
    gaps: list[float] = field(default_factory=list)
    ended: bool = False  # nothing more arrives
    _started: float | None = None
    _arrived: float | None = None  # when audio last did
    _dry: float = 0.0  # when all that arrived will have been played

    @property
    def started(self) -> bool:
        return self._started is not None

    def start(self) -> None:
        """The listener waits from now on, whether or not there is audio yet. Later calls change nothing."""
        if self._started is None:
            self._started = self._dry = self.clock()

    def add(self, seconds: float) -> None:
        """So much audio arrives; the first starts the playback."""
        now = self.clock()
        self.start()
        if self._arrived is not None:
            self.gaps.append(now - self._arrived)
        waited = max(0.0, now - self._dry)
        self.underrun += waited
        self.longest_underrun = max(self.longest_underrun, waited)
        self._arrived = now
        self._dry = max(self._dry, now) + seconds
        self.seconds += seconds

    def end(self) -> None:
        self.ended = True

    def headroom(self) -> float:
        """Seconds until the listener runs out of audio, negative if it has; infinite before the start and where nothing
        more arrives."""
        if self._started is None or self.ended:
            return math.inf
        return self._dry - self.clock()

    def played(self) -> float:
        """Seconds of audio that have been played."""
        if self._started is None:
            return 0.0
        return self.seconds - max(0.0, self._dry - self.clock())
