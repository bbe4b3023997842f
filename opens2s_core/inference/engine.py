"""The life cycle that thinker, speech decoder and token2wav share.

``open`` a stream, ``push`` its input, ``step`` all open streams together, take its ``chunks``, ``close``.
An engine is driven by one thread; it computes only inside ``step``. Streams join and leave between steps, and a
stream that waits for input never holds others back. Closing a stream frees all it owns at once.
"""

from collections.abc import Sequence
from typing import Protocol

from opens2s_core.inference.messages import ReplyRequest, StageMessage

StreamId = int


class EngineFull(RuntimeError):
    """All slots of the engine are taken; try again when a stream has closed."""


class Engine(Protocol):
    @property
    def capacity(self) -> int:
        """How many streams may be open at once."""
        ...

    def open(self, request: ReplyRequest) -> StreamId:
        """Take a slot for one reply. Raises :class:`EngineFull`, or ``ValueError`` for a request it cannot serve."""
        ...

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Hand a stream the next message from the stage before it."""
        ...

    def step(self) -> bool:
        """Advance every open stream that has work; False when none had any."""
        ...

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        """Take what the stream has produced since the last call, in order."""
        ...

    def close(self, stream: StreamId) -> None:
        """Free the stream's slot, finished or not. Closing twice, or an unknown stream, is not an error."""
        ...
