"""The times and the audio of a reply while it comes in."""

import numpy as np
import pytest

from evaluation.models.model import IncomingReply, ModelConfig
from opens2s_core.audio import decode_audio
from tests.fakes import FakeClock


def test_times_count_from_the_request_and_audio_from_its_first_sample_that_is_not_silence() -> None:
    clock = FakeClock()
    reply = IncomingReply(clock)
    clock.now += 1
    reply.add_text("")
    clock.now += 1
    reply.add_text("Hello")
    reply.add_audio(np.zeros(800, np.float32), 8000)
    clock.now += 1
    reply.add_audio(np.array([0.0] * 400 + [0.5] * 400, np.float32), 8000)
    clock.now += 1
    complete = reply.complete()
    assert (complete.text, complete.first_text, complete.seconds) == ("Hello", 2.0, 4.0)
    assert complete.first_audio == pytest.approx(3.05)
    assert complete.audio_seconds == 0.2
    samples, rate = decode_audio(complete.audio)
    assert (len(samples), rate) == (1600, 8000)


def test_silence_alone_has_no_first_audio() -> None:
    reply = IncomingReply(FakeClock())
    reply.add_audio(np.zeros(800, np.float32), 8000)
    assert reply.complete().first_audio is None


def test_audio_of_one_reply_has_one_rate() -> None:
    reply = IncomingReply()
    reply.add_audio(np.zeros(8, np.float32), 8000)
    with pytest.raises(ValueError, match="audio at 16000 Hz: expected 8000 Hz"):
        reply.add_audio(np.zeros(8, np.float32), 16_000)


@pytest.mark.parametrize("changed", [{"max_tokens": 0}, {"actors": 0}, {"concurrency": 0}, {"seed": -1}])
def test_a_config_is_checked(changed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected max_tokens, actors and concurrency >= 1"):
        ModelConfig(spoken=True, **changed)
