"""What leaves at once, and what leaves together."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, StageMessage, TextDelta, Units
from opens2s_core.inference.records import ReplyRecord, TextRecord
from serve_app.gateway.calls import Made
from serve_app.stages.outbox import TOGETHER_SECONDS, Outbox

SOON = TOGETHER_SECONDS / 2
HIDDENS = Hiddens(np.zeros((4, 2), np.float32), final=False)
UNITS = Units(np.arange(8), final=False)
SOUND = AudioChunk(np.zeros(80, np.int16), final=False)
texts = st.builds(TextDelta, st.text(min_size=1, max_size=3))
messages_in = st.one_of(texts, st.sampled_from([HIDDENS, UNITS, SOUND]))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(clock: Clock) -> Outbox:
    return Outbox(clock)


def made(*messages: StageMessage, steps: int = 0) -> Made:
    return Made(messages=messages, record=ReplyRecord(text=TextRecord((), groups=steps, characters=0)))


def left(outbox: Outbox, *, more_comes: bool = True) -> Sequence[StageMessage]:
    taken = outbox.take(more_comes=more_comes)
    return taken.messages if taken else ()


def test_nothing_leaves_where_nothing_was_made(outbox: Outbox) -> None:
    assert outbox.take(more_comes=False) is None


@pytest.mark.parametrize("message", [TextDelta("a"), HIDDENS, UNITS, SOUND])
def test_the_first_of_a_kind_leaves_at_once(outbox: Outbox, message: StageMessage) -> None:
    outbox.put(made(message))
    assert left(outbox) == (message,)
    outbox.put(made(message))
    assert left(outbox) == ()


def test_the_first_of_another_kind_takes_along_what_waits(outbox: Outbox) -> None:
    outbox.put(made(TextDelta("a")))
    outbox.take(more_comes=True)
    outbox.put(made(TextDelta("b")))
    assert left(outbox) == ()
    outbox.put(made(TextDelta("c"), HIDDENS))
    assert left(outbox) == (TextDelta("bc"), HIDDENS)


@pytest.mark.parametrize(
    "end",
    [
        Finish("stop", 1, 1),
        Hiddens(HIDDENS.values, final=True),
        Units(UNITS.ids, final=True),
        AudioChunk(SOUND.samples, final=True),
    ],
)
def test_an_end_leaves_at_once(outbox: Outbox, end: StageMessage) -> None:
    for message in (TextDelta("a"), HIDDENS, UNITS, SOUND):
        outbox.put(made(message))
    outbox.take(more_comes=True)
    outbox.put(made(end))
    assert left(outbox) == (end,)


def test_the_rest_leaves_together(outbox: Outbox, clock: Clock) -> None:
    outbox.put(made(TextDelta("a"), HIDDENS))
    outbox.take(more_comes=True)
    for word in "bc":
        clock.now += SOON - 1e-6
        outbox.put(made(TextDelta(word)))
        assert left(outbox) == ()
    clock.now += 2e-6
    assert left(outbox) == (TextDelta("bc"),)


def test_who_makes_less_than_that_hands_out_all_at_once(outbox: Outbox, clock: Clock) -> None:
    for word in "abc":
        clock.now += TOGETHER_SECONDS
        outbox.put(made(TextDelta(word)))
        assert left(outbox) == (TextDelta(word),)


def test_nothing_waits_for_what_does_not_come(outbox: Outbox) -> None:
    for word in "ab":
        outbox.put(made(TextDelta(word)))
        assert left(outbox, more_comes=False) == (TextDelta(word),)


def unjoined(messages: Sequence[StageMessage]) -> list[object]:
    """Text as its characters."""
    return [part for m in messages for part in (m.text if isinstance(m, TextDelta) else [m])]


@given(steps=st.lists(st.tuples(st.lists(messages_in, min_size=1, max_size=3), st.floats(0, 2 * SOON)), max_size=12))
def test_all_leaves_in_its_order_with_the_last_record_of_it(
    steps: list[tuple[list[StageMessage], float]],
) -> None:
    clock = Clock()
    outbox = Outbox(clock)
    taken: list[StageMessage] = []
    for number, (messages, seconds) in enumerate(steps, 1):
        clock.now += seconds
        outbox.put(made(*messages, steps=number))
        last = number == len(steps)
        if (out := outbox.take(more_comes=not last)) is not None:
            taken += out.messages
            assert out.record == made(steps=number).record
    assert unjoined(taken) == unjoined([message for messages, _ in steps for message in messages])
