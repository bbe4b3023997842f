"""What is measured of a reply."""

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, Finish, TextDelta
from serve_app.observability.reply_stats import ReplyStats
from tests.fakes import FakeClock

RATE = 1000


def audio(seconds: float) -> AudioChunk:
    return AudioChunk(np.zeros(round(RATE * seconds), np.int16), final=False)


def stats_of(*chunks: tuple[float, float]) -> ReplyStats:
    """Of chunks that come so long after the request and last so long, both in seconds."""
    clock = FakeClock()
    stats = ReplyStats(RATE, clock)
    asked = clock.now
    for at, seconds in chunks:
        clock.now = asked + at
        stats.note(audio(seconds))
    return stats


def test_times_count_from_the_request() -> None:
    clock = FakeClock()
    stats = ReplyStats(RATE, clock)
    for after, message in ((0.25, TextDelta("a")), (0.5, audio(0)), (0.5, audio(1)), (1.0, TextDelta("b"))):
        clock.now += after
        stats.note(message)
    stats.note(Finish("stop", 3, 2))
    assert (stats.first_text, stats.first_audio, stats.audio) == (0.25, 1.25, 1.0)
    assert stats.finish == Finish("stop", 3, 2)
    assert stats.elapsed() == 2.25
    assert stats.real_time_factor == 2.25


def test_audio_that_comes_before_the_last_has_ended_is_continuous() -> None:
    stats = stats_of((1.0, 1.0), (1.5, 1.0), (2.9, 1.0))
    assert stats.underrun == 0
    assert stats.gaps == pytest.approx([0.5, 1.4])
    assert stats.longest_gap == pytest.approx(1.4)
    assert stats.continuous


def test_a_wait_is_counted_and_moves_all_that_follows() -> None:
    stats = stats_of((0.0, 1.0), (1.5, 1.0), (2.4, 1.0), (3.5, 1.0))
    assert stats.underrun == pytest.approx(0.5)
    assert not stats.continuous


def test_waits_that_are_short_each_are_not_noticed() -> None:
    stats = stats_of((0.0, 1.0), (1.09, 1.0), (2.18, 1.0))
    assert stats.underrun == pytest.approx(0.18)
    assert stats.continuous


def test_a_written_reply_has_no_numbers_of_audio() -> None:
    stats = ReplyStats(RATE)
    assert stats.real_time_factor is None
    assert stats.longest_gap == 0
    assert stats.continuous
