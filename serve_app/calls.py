"""What a stage is asked and what it answers. A reply's state lives inside the call: any replica can take any attempt.

Every answer carries how to go on from it, so that whoever has it can ask another replica for the rest.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, Units
from opens2s_core.inference.records import ReplyRecord

UNITS_PER_SECOND = 12.5
"""Speech units in a second of sound."""
UNLIMITED = 2**31
"""More units than any reply has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A reply, or the rest of one that ``record`` was taken of. ``granted`` units may be made into sound for now; the
    caller's line grants more. Sound has ``sample_rate`` Hz."""

    id: str
    request: ReplyRequest
    sample_rate: int
    record: ReplyRecord = field(default_factory=ReplyRecord)
    granted: int = UNLIMITED

    def upstream(self) -> "Attempt":
        """What the stage before is asked: only sound is paced."""
        return replace(self, granted=UNLIMITED)


@dataclass(frozen=True, slots=True)
class Opened:
    """Serve's answer to a call: it was taken, and lasts while its caller holds a line to this place."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a stage made or passes on, and the records that belong to it."""

    messages: tuple[StageMessage, ...]
    record: ReplyRecord

    def followed_by(self, later: "Made") -> "Made":
        return Made(messages=self.messages + later.messages, record=self.record.updated(later.record))


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a call: how many units it grants by now, and whom to tell when a replica has taken it."""

    granted: Callable[[], int] = lambda: UNLIMITED
    taken: Callable[[], None] = lambda: None


NOTHING = Made(messages=(), record=ReplyRecord())


class Call(Protocol):
    """A call under way; it runs until it ends or is cancelled. Iterating raises :class:`RequestRefused`,
    :class:`ReplyFailed` and :class:`StageError`."""

    def __aiter__(self) -> AsyncIterator[Made]: ...

    def cancel(self) -> None: ...


def parts(request: ReplyRequest) -> int:
    """How many ends a reply has: that of its text and, where it is spoken, of its sound."""
    return 2 if request.speak else 1


def ends_a_part(message: StageMessage) -> bool:
    """Whether the text (``Finish``), or what the stage makes of it (a final group or chunk), is now complete."""
    return isinstance(message, Finish) or (isinstance(message, Hiddens | Units | AudioChunk) and message.final)
