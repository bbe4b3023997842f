"""How near the listeners of a replica are to running out of audio."""

from dataclasses import replace

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, TextDelta, Units
from opens2s_core.inference.playback import Playback
from serve_app.observability.stage_playbacks import NOBODY, StagePlayback, StagePlaybacks, audio_seconds
from tests.fakes import FakeClock, reply_request, stage_request

RATE = 1000
REQUEST = replace(stage_request(reply_request()), sample_rate=RATE)


def audio(seconds: float, *, final: bool = False) -> AudioChunk:
    return AudioChunk(np.zeros(round(RATE * seconds), np.int16), final)


def units(count: int, *, final: bool = False) -> Units:
    return Units(np.zeros(count, np.int64), final)


def test_units_and_samples_are_as_long_as_the_checkpoint_says() -> None:
    assert audio_seconds(units(25), sample_rate=RATE, units_per_second=12.5) == 2.0
    assert audio_seconds(units(25), sample_rate=RATE, units_per_second=25.0) == 1.0
    assert audio_seconds(audio(1.5), sample_rate=RATE, units_per_second=12.5) == 1.5
    assert audio_seconds(TextDelta("a"), sample_rate=RATE, units_per_second=12.5) == 0.0


@pytest.mark.parametrize("made", [audio(2), units(25)])
def test_headroom_is_what_was_made_less_what_was_played(made: AudioChunk | Units) -> None:
    clock = FakeClock()
    listener = StagePlayback(REQUEST)
    listener.playback = Playback(clock=clock)
    listener.add([TextDelta("a"), made])
    clock.now += 0.5
    assert listener.playback.headroom() == 1.5
    listener.add([made])
    assert listener.playback.headroom() == 3.5
    clock.now += 4
    assert listener.playback.headroom() == -0.5


@pytest.mark.parametrize("messages", [[], [TextDelta("a")], [audio(0)], [audio(1, final=True)], [units(9, final=True)]])
def test_who_has_nothing_yet_or_all_does_not_run_out(messages: list[AudioChunk | Units | TextDelta]) -> None:
    playbacks = StagePlaybacks()
    with playbacks.of(REQUEST) as listener:
        listener.add(messages)
        assert playbacks.least_headroom() == NOBODY


def test_the_listener_who_is_nearest_to_running_out_counts_while_it_is_there() -> None:
    playbacks = StagePlaybacks()
    assert playbacks.least_headroom() == NOBODY
    with playbacks.of(REQUEST) as one, playbacks.of(REQUEST) as other:
        one.add([audio(100)])
        other.add([audio(50)])
        assert 49 < playbacks.least_headroom() <= 50
    assert playbacks.least_headroom() == NOBODY
