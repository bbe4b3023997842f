"""Resume state and retry policy: what a client has received of a reply, and when the rest is tried again."""

import time
from collections.abc import Callable, Sequence

from opens2s_core.inference.family import Family, Records, is_final
from opens2s_core.inference.messages import Finish, ReplyRequest, StageMessage
from opens2s_core.inference.records import Record
from serve_app.errors import ReplyFailed, StageError, StageFailed, StageLost

_RETRY_SECONDS = 90.0
"""Without progress; a replica is replaced in seconds, a large model may load for a minute."""
_FAILURES = 3
"""Attempts without progress in which an engine failed or a process died: then the reply may be the cause."""
_PAUSES = (0.02, 0.1, 0.25, 0.5)
"""Seconds between attempts; the last is repeated."""


class ResumeState:
    """What the client has received of one request, and how to resume after it."""

    def __init__(self, family: Family, request: ReplyRequest) -> None:
        self._family = family
        self._open_ends = set(family.client_end_types(speak=request.speak))
        self._records: dict[str, Record] = {}
        self._text_ended = False

    @property
    def complete(self) -> bool:
        return not self._open_ends

    def records(self) -> Records:
        """What fresh engines are opened with."""
        return self._family.resume(self._records)

    def accept(self, stage: str, messages: Sequence[StageMessage], record: Record) -> list[StageMessage]:
        """Keep the record; returns those of the messages, all for the client, that it does not have yet."""
        self._records[stage] = record
        # A thinker that resumes says again that the text ended.
        new = [message for message in messages if not (isinstance(message, Finish) and self._text_ended)]
        self._text_ended |= any(isinstance(message, Finish) for message in new)
        self._open_ends -= {type(message) for message in new if is_final(message)}
        return new


class RetryPolicy:
    """How long and how often a reply is tried again without progress."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.progress()

    def progress(self) -> None:
        """The client received something new."""
        self._until = self._clock() + _RETRY_SECONDS
        self._failures = self._pauses = 0

    def pause(self, error: StageError, *, accepted: bool) -> float:
        """Seconds until the next attempt. Raises ``error``, or :class:`ReplyFailed`, if there is none.
        ``accepted`` says that the stage had begun to work on the request when it was lost."""
        self._failures += isinstance(error, StageFailed) or (isinstance(error, StageLost) and accepted)
        if self._failures == _FAILURES:
            raise ReplyFailed(f"{_FAILURES} attempts failed without progress, the last: {error}") from error
        if self._clock() > self._until:
            raise error
        self._pauses += 1
        return _PAUSES[min(self._pauses, len(_PAUSES)) - 1]
