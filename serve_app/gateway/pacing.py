"""How far ahead of its client's playback a reply's audio is made."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.config import Pacing


class Pacer:
    """Paces the replies of one gateway: while one of them has no audio yet, the others are made only as far ahead as
    they need. So the stages work on the new one first, in whatever order they would have worked otherwise."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._spoken = 0
        self._without_audio = 0

    @property
    def first_audio_seconds(self) -> float:
        """Before a reply's first audio: how long a stage between the first and the last waits after one message."""
        return self._pacing.first_audio_seconds

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """While this is entered, one spoken reply is under way."""
        self._spoken += 1
        try:
            yield
        finally:
            self._spoken -= 1

    @contextmanager
    def first_audio(self) -> Iterator[None]:
        """While this is entered, one spoken reply has no audio yet."""
        self._without_audio += 1
        try:
            yield
        finally:
            self._without_audio -= 1

    def allows(self, lead: float) -> bool:
        """Whether more may be made of a reply that is ``lead`` seconds of audio ahead of its playback."""
        if lead >= self._pacing.lead_seconds:
            return False
        busy = self._pacing.busy_lead_seconds
        return busy is None or not self._without_audio or lead < busy * max(1, self._spoken - 1)
