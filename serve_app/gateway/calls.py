"""What a stage is asked and what it answers. A reply's state lives inside the call: any replica can take any attempt.

Every answer carries how to go on from it, so that whoever has it can ask another replica for the rest.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, Units
from opens2s_core.inference.records import ReplyRecord
from serve_app.config import StageName

UNITS_PER_SECOND = 12.5
"""Speech units in a second of sound."""
UNLIMITED = 2**31
"""More units than any reply has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A reply, or the rest of one that ``record`` was taken of. Its sound has ``sample_rate`` Hz."""

    id: str
    request: ReplyRequest
    sample_rate: int
    record: ReplyRecord = field(default_factory=ReplyRecord)

    def for_stage(self, stage: StageName) -> "Attempt":
        """What this stage needs of it: the conversation, which may be large, is the thinker's."""
        return self if stage == "thinker" else replace(self, request=replace(self.request, messages=()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a stage made, and the records that belong to it."""

    messages: tuple[StageMessage, ...]
    record: ReplyRecord


@dataclass(slots=True)
class Crowd:
    """The replies of one process that wait for a place at token2wav, where a reply stays longest."""

    waiting: int = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes an attempt: how many units may be sound by now, counted from the reply's start, whom to tell when
    all stages have taken it, and those among whom it waits for that."""

    granted: Callable[[], int] = lambda: UNLIMITED
    taken: Callable[[], None] = lambda: None
    crowd: Crowd = field(default_factory=Crowd)


class StageCall(Protocol):
    """One stage's part of an attempt; a place for it is asked for at once. Everything but ``cancel`` raises
    :class:`StageError`, iterating also :class:`RequestRefused` and :class:`ReplyFailed`."""

    async def begin(self, attempt: Attempt) -> None:
        """Returns when the stage has taken it."""
        ...

    async def send(self, message: StageMessage) -> None:
        """Hand over what the stage before made."""
        ...

    def __aiter__(self) -> AsyncIterator[Made]: ...

    def cancel(self) -> None: ...


def parts(request: ReplyRequest) -> int:
    """How many ends a reply has: that of its text and, where it is spoken, of its sound."""
    return 2 if request.speak else 1


def parts_of_stage(stage: StageName, request: ReplyRequest) -> int:
    """How many ends what one stage makes of a reply has: of a spoken one the thinker ends text and hidden states."""
    return parts(request) if stage == "thinker" else 1


def ends_a_part(message: StageMessage) -> bool:
    """Whether the text (``Finish``), or what a stage makes of it (a final group or chunk), is now complete."""
    return isinstance(message, Finish) or (isinstance(message, Hiddens | Units | AudioChunk) and message.final)
