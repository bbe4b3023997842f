"""The playback buffer of a client."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.playback import Playback
from tests.fakes import FakeClock


def playback() -> tuple[Playback, FakeClock]:
    clock = FakeClock()
    return Playback(clock=clock), clock


def test_nothing_is_played_before_there_is_audio() -> None:
    played, clock = playback()
    clock.now += 5
    assert not played.started
    assert played.played() == 0
    assert played.headroom() == math.inf


def test_received_audio_is_played_in_real_time() -> None:
    played, clock = playback()
    played.add(2.0)
    clock.now += 0.5
    assert (played.played(), played.headroom()) == (0.5, 1.5)
    played.add(1.0)
    assert (played.played(), played.headroom()) == (0.5, 2.5)
    assert played.gaps == [0.5]
    assert played.underrun == 0


def test_an_empty_buffer_is_an_underrun() -> None:
    played, clock = playback()
    for pause in (0.0, 1.25, 1.5):
        clock.now += pause
        played.add(1.0)
    assert played.underrun == pytest.approx(0.25 + 0.5)
    assert played.longest_underrun == pytest.approx(0.5)
    assert played.played() == pytest.approx(2.0)
    clock.now += 3
    assert played.played() == 3.0
    assert played.headroom() == -2.0


def test_playback_may_start_before_there_is_audio() -> None:
    played, clock = playback()
    played.start()
    clock.now += 2
    played.start()
    assert played.headroom() == -2
    played.add(1.0)
    assert played.underrun == 2
    assert played.headroom() == 1


def test_an_ended_playback_does_not_run_empty() -> None:
    played, clock = playback()
    played.add(1.0)
    played.end()
    clock.now += 9
    assert played.headroom() == math.inf


@given(arrivals=st.lists(st.tuples(st.floats(0, 9), st.floats(0.01, 9)), min_size=1, max_size=9))
def test_time_since_the_start_is_time_played_and_time_waited(arrivals: list[tuple[float, float]]) -> None:
    played, clock = playback()
    clock.now = 0.0
    started = None
    for pause, seconds in arrivals:
        clock.now += pause
        started = clock.now if started is None else started
        played.add(seconds)
        assert clock.now - started == pytest.approx(played.played() + played.underrun, abs=1e-6)
    assert played.seconds == pytest.approx(sum(seconds for _, seconds in arrivals))
    assert played.longest_underrun <= played.underrun
