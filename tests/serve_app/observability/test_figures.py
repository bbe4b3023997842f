"""What is measured of a reply."""

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, Finish, TextDelta
from serve_app.observability.figures import ReplyFigures

RATE = 1000


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def sound(seconds: float) -> AudioChunk:
    return AudioChunk(np.zeros(int(RATE * seconds), np.int16), final=False)


def played(*chunks: tuple[float, float]) -> ReplyFigures:
    """Figures of chunks that come at a time and last so long, both in seconds."""
    clock = Clock()
    figures = ReplyFigures(RATE, clock)
    for at, seconds in chunks:
        clock.now = 5.0 + at
        figures.note(sound(seconds))
    return figures


def test_times_count_from_the_request() -> None:
    clock = Clock()
    figures = ReplyFigures(RATE, clock)
    for after, message in ((0.25, TextDelta("a")), (0.5, sound(0)), (0.5, sound(1)), (1.0, TextDelta("b"))):
        clock.now += after
        figures.note(message)
    figures.note(Finish("stop", 3, 2))
    assert figures.first_text == 0.25
    assert figures.first_audio == 1.25
    assert figures.audio == 1.0
    assert figures.finish == Finish("stop", 3, 2)
    assert figures.real_time_factor == 2.25


def test_sound_that_comes_before_the_last_has_ended_is_continuous() -> None:
    figures = played((1.0, 1.0), (1.5, 1.0), (2.9, 1.0))
    assert figures.underrun == 0
    assert figures.gaps == pytest.approx([0.5, 1.4])
    assert figures.longest_gap == pytest.approx(1.4)
    assert figures.continuous


def test_a_wait_is_counted_and_moves_all_that_follows() -> None:
    figures = played((0.0, 1.0), (1.5, 1.0), (2.4, 1.0), (3.5, 1.0))
    assert figures.underrun == pytest.approx(0.5)
    assert not figures.continuous


def test_waits_that_are_short_each_are_not_noticed() -> None:
    figures = played((0.0, 1.0), (1.09, 1.0), (2.18, 1.0))
    assert figures.underrun == pytest.approx(0.18)
    assert figures.continuous


def test_a_written_reply_has_no_factor() -> None:
    figures = ReplyFigures(RATE)
    assert figures.real_time_factor is None
    assert figures.continuous
