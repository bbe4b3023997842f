"""Which output leaves at once, and which leaves together."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.messages import AudioChunk, Finish, HiddenStates, StageMessage, TextDelta, Units
from opens2s_core.inference.records import TextRecord
from serve_app.stages.coalescer import OutputCoalescer
from serve_app.stages.messages import StageOutput
from tests.fakes import FakeClock

SECONDS = 0.025
HIDDEN_STATES = HiddenStates(np.zeros((4, 2), np.float32), final=False)
UNITS = Units(np.arange(8), final=False)
AUDIO = AudioChunk(np.zeros(80, np.int16), final=False)
messages_made = st.one_of(
    st.builds(TextDelta, st.text(min_size=1, max_size=3)), st.sampled_from([HIDDEN_STATES, UNITS, AUDIO])
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def coalescer(clock: FakeClock) -> OutputCoalescer:
    return OutputCoalescer(SECONDS, clock)


def output(*messages: StageMessage, steps: int = 0) -> StageOutput:
    return StageOutput(messages=messages, record=TextRecord((), groups=steps, characters=0))


def flushed(coalescer: OutputCoalescer, *, more_follows: bool = True) -> Sequence[StageMessage]:
    left = coalescer.take(more_follows=more_follows)
    return left.messages if left else ()


def test_nothing_leaves_where_nothing_was_added(coalescer: OutputCoalescer) -> None:
    assert coalescer.take(more_follows=False) is None


@pytest.mark.parametrize("message", [TextDelta("a"), HIDDEN_STATES, UNITS, AUDIO])
def test_the_first_of_a_kind_leaves_at_once(coalescer: OutputCoalescer, message: StageMessage) -> None:
    coalescer.add(output(message))
    assert flushed(coalescer) == (message,)
    coalescer.add(output(message))
    assert flushed(coalescer) == ()


def test_the_first_of_another_kind_takes_along_what_waits(coalescer: OutputCoalescer) -> None:
    coalescer.add(output(TextDelta("a")))
    coalescer.take(more_follows=True)
    coalescer.add(output(TextDelta("b")))
    assert flushed(coalescer) == ()
    coalescer.add(output(TextDelta("c"), HIDDEN_STATES))
    assert flushed(coalescer) == (TextDelta("bc"), HIDDEN_STATES)


@pytest.mark.parametrize(
    "end",
    [
        Finish("stop", 1, 1),
        HiddenStates(HIDDEN_STATES.values, final=True),
        Units(UNITS.ids, final=True),
        AudioChunk(AUDIO.samples, final=True),
    ],
)
def test_a_final_message_leaves_at_once(coalescer: OutputCoalescer, end: StageMessage) -> None:
    coalescer.add(output(TextDelta("a"), HIDDEN_STATES, UNITS, AUDIO))
    coalescer.take(more_follows=True)
    coalescer.add(output(end))
    assert flushed(coalescer) == (end,)


def test_the_rest_leaves_together(coalescer: OutputCoalescer, clock: FakeClock) -> None:
    coalescer.add(output(TextDelta("a"), HIDDEN_STATES))
    coalescer.take(more_follows=True)
    for word in "bc":
        clock.now += SECONDS / 2 - 1e-6
        coalescer.add(output(TextDelta(word)))
        assert flushed(coalescer) == ()
    clock.now += 3e-6
    assert flushed(coalescer) == (TextDelta("bc"),)


@pytest.mark.parametrize("seconds", [0.0, SECONDS])
def test_what_is_made_less_often_than_that_leaves_at_once(seconds: float, clock: FakeClock) -> None:
    coalescer = OutputCoalescer(seconds, clock)
    for word in "abc":
        clock.now += seconds
        coalescer.add(output(TextDelta(word)))
        assert flushed(coalescer) == (TextDelta(word),)


def test_nothing_waits_where_nothing_follows(coalescer: OutputCoalescer) -> None:
    for word in "ab":
        coalescer.add(output(TextDelta(word)))
        assert flushed(coalescer, more_follows=False) == (TextDelta(word),)


def unjoined(messages: Sequence[StageMessage]) -> list[object]:
    """Text as its characters."""
    return [part for m in messages for part in (m.text if isinstance(m, TextDelta) else [m])]


@given(
    steps=st.lists(st.tuples(st.lists(messages_made, min_size=1, max_size=3), st.floats(0, SECONDS)), max_size=12),
    seconds=st.sampled_from([0.0, SECONDS]),
)
def test_all_leaves_in_its_order_with_the_last_record_of_it(
    steps: list[tuple[list[StageMessage], float]], seconds: float
) -> None:
    clock = FakeClock()
    coalescer = OutputCoalescer(seconds, clock)
    left: list[StageMessage] = []
    for number, (messages, pause) in enumerate(steps, 1):
        clock.now += pause
        coalescer.add(output(*messages, steps=number))
        if (out := coalescer.take(more_follows=number < len(steps))) is not None:
            left += out.messages
            assert out.record == output(steps=number).record
    assert unjoined(left) == unjoined([message for messages, _ in steps for message in messages])
