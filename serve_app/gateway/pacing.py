"""How far ahead of its client's playback a reply's audio is made."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.config import Pacing


class Pacer:
    """Of the replies of one gateway. While one of them has no audio yet, the others are made only as far ahead as they
    need: so the stages come to the new one first, in whatever order they would have worked."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._without_audio = 0

    @property
    def first_audio_seconds(self) -> float:
        """For which a reply without audio waits for it before more is made of it."""
        return self._pacing.first_audio_seconds

    @contextmanager
    def first_audio(self) -> Iterator[None]:
        """A reply that will be spoken has no audio yet meanwhile."""
        self._without_audio += 1
        try:
            yield
        finally:
            self._without_audio -= 1

    def allows(self, lead: float) -> bool:
        """Whether a reply may be made further that is ``lead`` seconds of audio ahead of its playback."""
        if lead >= self._pacing.lead_seconds:
            return False
        busy = self._pacing.busy_lead_seconds
        return busy is None or lead < busy or not self._without_audio
