"""A reply that outlives the stages that make it: what was handed out is kept, and another attempt makes the rest."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, StageMessage
from opens2s_core.inference.records import ReplyRecord
from serve_app.errors import ReplyFailed, StageBusy, StageError, StageFailed, StageLost
from serve_app.gateway.calls import UNITS_PER_SECOND, UNLIMITED, Attempt, Caller, Crowd, Made, ends_a_part, parts
from serve_app.gateway.chain import AskStage, Chain

_PATIENCE_SECONDS = 90.0
"""Without progress; a replica is replaced in seconds, a large model may load for a minute."""
_FAILURES = 3
"""Engines that may break under a reply without progress: it may be what breaks them."""
_PAUSES = (0.02, 0.1, 0.25, 0.5)
"""Seconds between attempts; the last one again and again."""


class Journal:
    """What the client was given of a reply, and how to go on from there."""

    def __init__(self, request: ReplyRequest) -> None:
        self.record = ReplyRecord()
        self._to_come = parts(request)
        self._text_ended = False

    @property
    def begun(self) -> bool:
        return self.record != ReplyRecord()

    @property
    def complete(self) -> bool:
        return not self._to_come

    def note(self, made: Made) -> list[StageMessage]:
        """Keep the records; returns what the client does not have yet."""
        self.record = self.record.updated(made.record)
        # A thinker that goes on tells the end of the text again.
        new = [message for message in made.messages if not (isinstance(message, Finish) and self._text_ended)]
        self._text_ended |= any(isinstance(message, Finish) for message in new)
        self._to_come -= sum(map(ends_a_part, new))
        return new


class PlaybackClock:
    """Grants so many seconds of sound ahead of one who plays it as it comes, or all of it (``lead`` None)."""

    def __init__(self, lead: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lead = lead
        self._clock = clock
        self._began: float | None = None

    def begin(self) -> None:
        """The first sound is there."""
        if self._began is None:
            self._began = self._clock()

    def granted(self) -> int:
        """Units in all, since the start of the reply."""
        if self._lead is None:
            return UNLIMITED
        played = 0.0 if self._began is None else self._clock() - self._began
        return int((self._lead + played) * UNITS_PER_SECOND) + 1


class ResumingReply:
    """The messages of one reply, each once. Raises :class:`RequestRefused`, :class:`ReplyFailed`, :class:`StageError`.

    ``taken`` is told when a replica has begun with an attempt, ``resumed`` which stage was lost, each time.
    """

    def __init__(
        self,
        request: ReplyRequest,
        ask: AskStage,
        *,
        name: str,
        sample_rate: int,
        lead: float | None,
        crowd: Crowd,
        taken: Callable[[], None],
        resumed: Callable[[str], None],
    ) -> None:
        self._request = request
        self._ask = ask
        self._name = name
        self._sample_rate = sample_rate
        self._journal = Journal(request)
        self._playback = PlaybackClock(lead)
        self._crowd = crowd
        self._taken = taken
        self._resumed = resumed
        self._attempts = 0
        self._call = self._attempt()

    def cancel(self) -> None:
        self._call.cancel()

    async def __aiter__(self) -> AsyncGenerator[StageMessage, None]:
        patience = _Patience()
        while True:
            try:
                async for made in self._call:
                    new = self._journal.note(made)
                    if new:
                        patience.renew()
                    for message in new:
                        if isinstance(message, AudioChunk):
                            self._playback.begin()
                        yield message
                    if self._journal.complete:
                        return
                raise StageLost("the last stage", "it ended before the reply did")
            except StageError as error:
                if isinstance(error, StageBusy) and not self._journal.begun:
                    raise
                pause = patience.pause(error)
                self._resumed(error.stage)
            finally:
                self._call.cancel()
            await asyncio.sleep(pause)
            self._call = self._attempt()

    def _attempt(self) -> Chain:
        self._attempts += 1
        attempt = Attempt(
            id=f"{self._name}.{self._attempts}",
            request=self._request,
            sample_rate=self._sample_rate,
            record=self._journal.record,
        )
        return Chain(attempt, self._ask, Caller(self._playback.granted, self._taken, self._crowd))


class _Patience:
    """How long and how often a reply is tried again."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """There was progress."""
        self._until = time.monotonic() + _PATIENCE_SECONDS
        self._failures = self._pauses = 0

    def pause(self, error: StageError) -> float:
        """Seconds until the next attempt; raises ``error`` where there shall be none."""
        self._failures += isinstance(error, StageFailed)
        if time.monotonic() > self._until:
            raise error
        if self._failures == _FAILURES:
            raise ReplyFailed(f"{_FAILURES} engines broke under it, at last {error}") from error
        self._pauses += 1
        return _PAUSES[min(self._pauses, len(_PAUSES)) - 1]
