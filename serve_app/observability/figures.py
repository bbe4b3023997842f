"""How a reply went, as one who plays it at once hears it. Numbers only: no sound and no words."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage, TextDelta

NOTICED_SECONDS = 0.1
"""A break in the sound that is longer is heard as one."""


@dataclass(slots=True)
class ReplyFigures:
    """Times in seconds since the reply was asked for. Playback begins with the first sound and waits where it runs dry;
    ``underrun`` is how long it waited in all, ``longest_gap`` the longest time between two sounds."""

    sample_rate: int
    clock: Callable[[], float] = time.monotonic
    first_text: float | None = None
    first_audio: float | None = None
    audio: float = 0.0
    gaps: list[float] = field(default_factory=list)
    underrun: float = 0.0
    worst_underrun: float = 0.0
    finish: Finish | None = None
    resumes: int = 0
    _asked: float = 0.0
    _last_audio: float = 0.0
    _dry: float = 0.0  # when what was made so far will have been heard

    def __post_init__(self) -> None:
        self._asked = self.clock()

    def note(self, message: StageMessage) -> None:
        match message:
            case TextDelta() if self.first_text is None:
                self.first_text = self.elapsed()
            case AudioChunk(samples) if len(samples):
                self._note_sound(len(samples) / self.sample_rate)
            case Finish():
                self.finish = message

    def elapsed(self) -> float:
        return self.clock() - self._asked

    @property
    def continuous(self) -> bool:
        """Whether a listener noticed no break."""
        return self.worst_underrun <= NOTICED_SECONDS

    @property
    def longest_gap(self) -> float:
        return max(self.gaps, default=0.0)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of sound; None without sound."""
        return self.elapsed() / self.audio if self.audio else None

    def _note_sound(self, seconds: float) -> None:
        now = self.elapsed()
        if self.first_audio is None:
            self.first_audio = self._dry = now
        else:
            self.gaps.append(now - self._last_audio)
            waited = max(0.0, now - self._dry)
            self.underrun += waited
            self.worst_underrun = max(self.worst_underrun, waited)
        self._last_audio = now
        self._dry = max(self._dry, now) + seconds
        self.audio += seconds
