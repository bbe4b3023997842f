"""The life cycle that thinker, speech decoder and token2wav share.

``open`` a stream, ``push`` its input, ``step`` all open streams together, take its ``chunks``, ``close``.
An engine is driven by one thread; it computes only inside ``step``. Streams join and leave between steps, and a
stream that waits for input never holds others back. A stream's slot is free again as soon as all of its output is made,
or when it is closed, whichever is first. Its memory is allocated once.

A stream can be left at any moment and gone on with elsewhere: ``record`` is all that a fresh engine needs for it.
"""

from collections.abc import Sequence
from typing import Protocol

from opens2s_core.inference.messages import ReplyRequest, StageMessage
from opens2s_core.inference.records import Record

StreamId = int


class EngineFull(RuntimeError):
    """All slots of the engine are taken; try again when a stream has ended."""


class ContextLengthExceeded(ValueError):
    """A conversation and its longest reply take more positions than a slot has."""


class StreamFailed(RuntimeError):
    """This stream cannot go on; its neighbours can."""


class Engine(Protocol):
    @property
    def capacity(self) -> int:
        """How many streams may be under way at once."""
        ...

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Take a slot for one reply, or for the rest of one that ``record`` was taken of.

        Raises :class:`EngineFull`, or ``ValueError`` for a request it cannot serve.
        """
        ...

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Hand a stream the next message from the stage before it."""
        ...

    def step(self) -> bool:
        """Advance the open streams that have work; False when none had any."""
        ...

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        """Take what the stream has produced since the last call, in order. Raises :class:`StreamFailed`."""
        ...

    def record(self, stream: StreamId) -> Record:
        """How to go on from what ``chunks`` has handed out; to be taken right behind it, before the next step."""
        ...

    def close(self, stream: StreamId) -> None:
        """Free the stream's slot, finished or not. Closing twice, or an unknown stream, is not an error."""
        ...
