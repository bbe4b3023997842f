"""The open streams of an engine."""

import itertools
from collections.abc import Iterator
from typing import Generic, TypeVar

from opens2s_core.inference.engine import EngineFull, StreamId

State = TypeVar("State")


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

    def __len__(self) -> int:
        return len(self._states)

    def states(self) -> Iterator[State]:
        return iter(self._states.values())

    def free(self, stream: StreamId) -> None:
        self._states.pop(stream, None)
