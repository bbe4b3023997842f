"""How a reply went for its client. Numbers only: no audio and no words."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opens2s_core.inference.messages import AudioChunk, Finish, StageMessage, TextDelta
from opens2s_core.inference.playback import Playback

NOTICEABLE_SECONDS = 0.1
"""A longer break in the audio is heard as one."""


@dataclass(slots=True)
class ReplyStats:
    """Times in seconds since the reply was asked for; ``playback`` is that of its client."""

    sample_rate: int
    clock: Callable[[], float] = time.monotonic
    first_text: float | None = None
    first_audio: float | None = None
    finish: Finish | None = None
    resumes: int = 0
    playback: Playback = field(init=False)
    _asked: float = field(init=False)

    def __post_init__(self) -> None:
        self.playback = Playback(clock=self.clock)
        self._asked = self.clock()

    def note(self, message: StageMessage) -> None:
        match message:
            case TextDelta() if self.first_text is None:
                self.first_text = self.elapsed()
            case AudioChunk(samples) if len(samples):
                if self.first_audio is None:
                    self.first_audio = self.elapsed()
                self.playback.add(len(samples) / self.sample_rate)
            case Finish():
                self.finish = message

    def elapsed(self) -> float:
        return self.clock() - self._asked

    @property
    def audio(self) -> float:
        """Seconds of audio so far."""
        return self.playback.seconds

    @property
    def underrun(self) -> float:
        """Seconds that the listener waited for audio."""
        return self.playback.underrun

    @property
    def gaps(self) -> list[float]:
        return self.playback.gaps

    @property
    def longest_gap(self) -> float:
        return max(self.playback.gaps, default=0.0)

    @property
    def continuous(self) -> bool:
        """Whether a listener noticed no break."""
        return self.playback.longest_underrun <= NOTICEABLE_SECONDS

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of audio; None without audio."""
        return self.elapsed() / self.audio if self.audio else None
