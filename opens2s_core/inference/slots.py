"""The open streams of an engine, and what every engine does with them alike."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from opens2s_core.inference.engine import EngineFull, StreamId
from opens2s_core.inference.messages import StageMessage


class StreamState(Protocol):
    output: list[StageMessage]  # made, and not taken yet


State = TypeVar("State", bound=StreamState)


class Slots(Generic[State]):
    """At most ``capacity`` stream states; ids are never used twice."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._states: dict[StreamId, State] = {}
        self._ids = itertools.count()

    def take(self, state: State) -> StreamId:
        """Raises :class:`EngineFull` when all are taken."""
        if len(self._states) >= self.capacity:
            raise EngineFull(f"all {self.capacity} slots are taken")
        stream = next(self._ids)
        self._states[stream] = state
        return stream

    def __getitem__(self, stream: StreamId) -> State:
        return self._states[stream]

    def states(self) -> Iterator[State]:
        return iter(self._states.values())

    def free(self, stream: StreamId) -> None:
        self._states.pop(stream, None)


class SlotEngine(Generic[State]):
    """The half of an engine's life cycle that does not depend on what it computes."""

    def __init__(self, capacity: int) -> None:
        self._slots: Slots[State] = Slots(capacity)

    @property
    def capacity(self) -> int:
        return self._slots.capacity

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        state = self._slots[stream]
        output, state.output = state.output, []
        return output

    def close(self, stream: StreamId) -> None:
        self._slots.free(stream)
