"""How near listeners are to running dry."""

import numpy as np

from opens2s_core.inference.messages import AudioChunk, TextDelta, Units
from serve_app.observability.listeners import NOBODY_WAITS, Listener, Listeners

RATE = 1000


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def sound(seconds: float, *, final: bool = False) -> AudioChunk:
    return AudioChunk(np.zeros(int(RATE * seconds), np.int16), final)


def test_slack_is_what_was_made_less_what_was_heard() -> None:
    clock = Clock()
    listener = Listener(RATE, clock)
    listener.hear([TextDelta("a"), sound(2)])
    clock.now += 0.5
    listener.hear([sound(1)])
    assert listener.slack() == 2.5
    clock.now += 3
    assert listener.slack() == -0.5


def test_units_last_eighty_milliseconds() -> None:
    clock = Clock()
    listener = Listener(RATE, clock)
    listener.hear([Units(np.zeros(25, np.int64), final=False)])
    assert listener.slack() == 2.0


def test_who_has_not_begun_to_hear_or_has_heard_all_does_not_wait() -> None:
    listener = Listener(RATE, Clock())
    assert listener.slack() == NOBODY_WAITS
    listener.hear([sound(0)])
    assert listener.slack() == NOBODY_WAITS
    listener.hear([sound(1, final=True)])
    assert listener.slack() == NOBODY_WAITS


def test_the_one_nearest_to_running_dry_counts_while_it_is_there() -> None:
    listeners = Listeners()
    assert listeners.slack() == NOBODY_WAITS
    with listeners.listening(RATE) as one, listeners.listening(RATE) as other:
        one.hear([sound(100)])
        other.hear([sound(50)])
        assert 49 < listeners.slack() <= 50
    assert listeners.slack() == NOBODY_WAITS
