"""What a stream has made and not handed out yet."""

import time
from collections.abc import Callable
from dataclasses import replace

from opens2s_core.inference.messages import StageMessage, TextDelta
from serve_app.gateway.calls import Made, ends_a_part

TOGETHER_SECONDS = 0.025
"""What is made within this time leaves together: every message costs each process on its way to the listener."""


class Outbox:
    """Holds what one stage makes of one reply until it leaves. The first message of each kind does so at once, since
    the next stage or the listener has nothing else yet, and so does the end of a part; whatever was before goes along.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: Made | None = None
        self._known: set[type[StageMessage]] = set()  # kinds that have left before
        self._emptied = clock()

    def put(self, made: Made) -> None:
        self._held = made if self._held is None else _joined(self._held, made)

    def take(self, *, more_comes: bool) -> Made | None:
        """All of it; None where there is nothing, or where ``more_comes`` and this can wait for it."""
        if self._held is None or (more_comes and self._can_wait(self._held)):
            return None
        taken, self._held = self._held, None
        self._known.update(map(type, taken.messages))
        self._emptied = self._clock()
        return taken

    def _can_wait(self, held: Made) -> bool:
        return self._clock() - self._emptied < TOGETHER_SECONDS and not any(
            type(message) not in self._known or ends_a_part(message) for message in held.messages
        )


def _joined(made: Made, more: Made) -> Made:
    """Text that follows text becomes one with it."""
    messages = list(made.messages)
    for message in more.messages:
        match messages, message:
            case [*_, TextDelta(before)], TextDelta(text):
                messages[-1] = TextDelta(before + text)
            case _:
                messages.append(message)
    return replace(more, messages=tuple(messages))
