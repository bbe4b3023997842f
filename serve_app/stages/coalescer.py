"""Joins what a stage makes of one reply within a short time into one output: messages between processes cost time."""

import time
from collections.abc import Callable
from dataclasses import replace

from opens2s_core.inference.family import is_final
from opens2s_core.inference.messages import StageMessage, TextDelta
from serve_app.stages.messages import StageOutput


class OutputCoalescer:
    """Buffers output for at most ``seconds`` (0: not at all). The first message of each kind leaves at once, since the
    next stage or the client has nothing yet, and so does a final one, with all that was buffered before it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._buffered: StageOutput | None = None
        self._kinds: set[type[StageMessage]] = set()  # that have left before
        self._flushed = clock()

    def add(self, output: StageOutput) -> None:
        self._buffered = output if self._buffered is None else _joined(self._buffered, output)

    def take(self, *, more_follows: bool) -> StageOutput | None:
        """All that is buffered; None where there is nothing, or where ``more_follows`` and it may wait for that."""
        if self._buffered is None or (more_follows and self._may_wait(self._buffered)):
            return None
        taken, self._buffered = self._buffered, None
        self._kinds.update(map(type, taken.messages))
        self._flushed = self._clock()
        return taken

    def _may_wait(self, output: StageOutput) -> bool:
        return self._clock() - self._flushed < self._seconds and not any(
            type(message) not in self._kinds or is_final(message) for message in output.messages
        )


def _joined(first: StageOutput, second: StageOutput) -> StageOutput:
    messages = list(first.messages)
    for message in second.messages:
        match messages, message:
            case [*_, TextDelta(before)], TextDelta(text):
                messages[-1] = TextDelta(before + text)
            case _:
                messages.append(message)
    return replace(second, messages=tuple(messages))
