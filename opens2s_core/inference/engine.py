"""The life cycle that thinker, speech decoder and token2wav share.

``open`` a stream, ``push`` its input, ``step`` all open streams together, take its ``chunks``, ``close``.
An engine is driven by one thread; it computes only inside ``step``. Streams join and leave between steps, and a
stream that waits for input never delays others. A stream's slot is free again as soon as its output is
complete, or when it is closed. Its memory is allocated once.

A stream can be resumed by another engine at any moment: ``record`` is all that a new engine needs for it.
"""

from collections.abc import Sequence
from typing import Protocol

from opens2s_core.inference.messages import ReplyRequest, StageMessage
from opens2s_core.inference.records import Record

StreamId = int


class EngineFull(RuntimeError):
    """All slots of the engine are taken; try again when a stream has ended."""


class StreamFailed(RuntimeError):
    """This stream cannot continue; the others can."""


class ContextLengthExceeded(ValueError):
    """A conversation and its longest reply need more positions than a slot has."""


class Engine(Protocol):
    @property
    def capacity(self) -> int:
        """How many streams may be open at once."""
        ...

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Take a slot for one reply, or for the rest of one that ``record`` was taken of.

        Raises :class:`EngineFull`, ``ValueError`` for a request it cannot serve, among them
        :class:`ContextLengthExceeded`, and ``TypeError`` for another stage's record.
        """
        ...

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Give a stream the next message of the stage before it; a stream that is complete ignores it.

        Raises before anything is changed: ``TypeError`` for a message that the stage does not take, ``ValueError`` for
        one whose contents do not fit the model and for one after the final message, ``KeyError`` for an unknown
        stream. The stream is then as it was: it may continue or be closed.
        """
        ...

    def step(self) -> bool:
        """Advance the open streams that have work; False when none had any."""
        ...

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        """Take what the stream has produced since the last call, in order. Raises :class:`StreamFailed`."""
        ...

    def record(self, stream: StreamId) -> Record:
        """How to continue from what ``chunks`` has returned; to be taken right after it, before the next step."""
        ...

    def close(self, stream: StreamId) -> None:
        """Free the stream's slot, finished or not. Closing twice, or an unknown stream, is not an error."""
        ...
