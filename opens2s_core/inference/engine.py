"""The interface of an engine, shared by thinker, speech decoder and token2wav.

``open`` a stream, ``push`` its input, ``step`` all open streams together, read its ``chunks``, ``close`` it.
An engine is driven by one thread and computes only inside ``step``. Streams join and leave between steps; a stream that
waits for input does not delay others. A slot is free as soon as the output of its stream is complete, or when the
stream is closed. Memory is allocated once.

Another engine can resume a stream at any time: ``record`` is all the state that it needs.
"""

from collections.abc import Sequence
from typing import Protocol

from opens2s_core.inference.messages import ReplyRequest, StageMessage
from opens2s_core.inference.records import Record

StreamId = int


class EngineFull(RuntimeError):
    """All slots of the engine are in use; retry when a stream has ended."""


class StreamFailed(RuntimeError):
    """This stream failed; other streams are not affected."""


class ContextLengthExceeded(ValueError):
    """The conversation and its longest reply need more positions than a slot has."""


class Engine(Protocol):
    @property
    def capacity(self) -> int:
        """Maximum number of open streams."""
        ...

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Take a slot for one reply, or for the rest of the reply of ``record``.

        Raises :class:`EngineFull`, ``ValueError`` for an invalid request, including
        :class:`ContextLengthExceeded`, and ``TypeError`` for a record of another stage.
        """
        ...

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Add the next input message from the stage before; a stream that is complete ignores it.

        Raises ``TypeError`` for a message of another type than the stage's input, ``ValueError`` for contents that do
        not fit the model and for a message after the final one, ``KeyError`` for an unknown stream. The stream is then
        unchanged: it can continue or be closed.
        """
        ...

    def step(self) -> bool:
        """Advance the open streams that have work; False if none had any."""
        ...

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        """The output of the stream since the last call, in order. Raises :class:`StreamFailed`."""
        ...

    def record(self, stream: StreamId) -> Record:
        """The state to resume after the output of ``chunks``; valid between that call and the next step."""
        ...

    def close(self, stream: StreamId) -> None:
        """Free the slot of a stream, finished or not. Closing twice, or an unknown stream, is not an error."""
        ...
