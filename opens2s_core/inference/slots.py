"""The open streams of an engine: the life cycle that all engines share."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from opens2s_core.inference.engine import EngineFull, StreamFailed, StreamId
from opens2s_core.inference.messages import StageMessage


class StreamState(Protocol):
    final: bool  # whether the last message of its input was pushed
    output: list[StageMessage]  # not yet returned by ``chunks``
    done: bool  # no more output follows: the slot is free, even if ``output`` is not empty
    failure: str | None  # why the stream cannot continue


State = TypeVar("State", bound=StreamState)


class SlotEngine(Generic[State]):
    """Base class of the engines. Stream ids are never reused."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._streams: dict[StreamId, State] = {}
        self._ids = itertools.count()

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        state = self._streams[stream]
        if state.failure is not None:
            raise StreamFailed(state.failure)
        output, state.output = state.output, []
        return output

    def close(self, stream: StreamId) -> None:
        state = self._streams.pop(stream, None)
        if state is not None and not state.done:
            self._release(state)

    def _release(self, state: State) -> None:
        """Free the resources of a stream; called once per stream."""

    def _accepting(self, stream: StreamId) -> State:
        """The stream, which must accept input: ``KeyError`` for an unknown one, ``ValueError`` after its final
        message."""
        state = self._streams[stream]
        if state.final:
            raise ValueError(f"message for stream {stream} after its final one")
        return state

    def _check_capacity(self) -> None:
        if sum(1 for _ in self._live()) >= self.capacity:
            raise EngineFull(f"all {self.capacity} slots are taken")

    def _admit(self, state: State) -> StreamId:
        stream = next(self._ids)
        self._streams[stream] = state
        return stream

    def _live(self) -> Iterator[State]:
        """The streams that are not done, oldest first."""
        return (state for state in self._streams.values() if not state.done)

    def _end(self, state: State, failure: str | None = None) -> None:
        state.done, state.failure = True, failure
        self._release(state)
