"""What a client has received, and how often the rest is tried."""

import numpy as np
import pytest

from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.messages import AudioChunk, Finish, TextDelta
from opens2s_core.inference.records import TextRecord, UnitsRecord
from serve_app.errors import ReplyFailed, StageBusy, StageError, StageFailed, StageLost
from serve_app.gateway.resume import ResumeState, RetryPolicy
from tests.fakes import FakeClock, FakeStream, FakeToken2Wav, reply_request

BUSY, LOST, FAILED = StageBusy("thinker", "full"), StageLost("thinker", "gone"), StageFailed("thinker", "out of memory")
TEXT = TextRecord((1, 2), groups=2, characters=9)
AUDIO = FakeToken2Wav(1).record_of(FakeStream(reply_request()))
FINISH = Finish("stop", 1, 2)


def audio(*, final: bool) -> AudioChunk:
    return AudioChunk(np.zeros(4, np.int16), final)


def test_a_written_reply_is_complete_with_its_text() -> None:
    state = ResumeState(OPENS2S, reply_request(speak=False))
    assert state.accept("thinker", [TextDelta("a")], TEXT) == [TextDelta("a")]
    assert not state.complete
    assert state.accept("thinker", [TextDelta("b"), FINISH], TEXT) == [TextDelta("b"), FINISH]
    assert state.complete


def test_a_spoken_reply_is_complete_with_its_text_and_its_audio() -> None:
    for order in (("text", "audio"), ("audio", "text")):
        state = ResumeState(OPENS2S, reply_request())
        state.accept("token2wav", [audio(final=False)], AUDIO)
        for end in order:
            assert not state.complete
            if end == "text":
                state.accept("thinker", [FINISH], TEXT)
            else:
                state.accept("token2wav", [audio(final=True)], AUDIO)
        assert state.complete


def test_that_the_text_ended_is_given_once() -> None:
    state = ResumeState(OPENS2S, reply_request())
    assert state.accept("thinker", [FINISH], TEXT) == [FINISH]
    assert state.accept("thinker", [FINISH], TEXT) == []
    assert not state.complete


def test_fresh_engines_are_opened_with_the_last_record_of_each_stage() -> None:
    state = ResumeState(OPENS2S, reply_request())
    assert state.records() == {}
    state.accept("thinker", [TextDelta("a")], TextRecord((1,), groups=1, characters=1))
    state.accept("thinker", [TextDelta("b")], TEXT)
    state.accept("speech_decoder", [], UnitsRecord((4,), units=1))
    assert state.records() == OPENS2S.resume({"thinker": TEXT, "speech_decoder": UnitsRecord((4,), units=1)})


def pauses(policy: RetryPolicy, error: StageError, count: int, *, accepted: bool = True) -> list[float]:
    return [policy.pause(error, accepted=accepted) for _ in range(count)]


@pytest.mark.parametrize("error", [LOST, FAILED])
def test_the_third_failure_without_progress_ends_a_reply(error: StageError) -> None:
    policy = RetryPolicy(FakeClock())
    pauses(policy, error, 2)
    with pytest.raises(ReplyFailed, match=f"3 attempts failed without progress, the last: {error}"):
        policy.pause(error, accepted=True)


def test_progress_resets_the_failure_count() -> None:
    policy = RetryPolicy(FakeClock())
    for _ in range(20):
        pauses(policy, LOST, 2)
        policy.progress()


def test_losses_before_acceptance_do_not_count() -> None:
    policy = RetryPolicy(FakeClock())
    pauses(policy, LOST, 20, accepted=False)
    pauses(policy, BUSY, 20)
    with pytest.raises(ReplyFailed):
        pauses(policy, FAILED, 3, accepted=False)


def test_pauses_grow_to_half_a_second_and_begin_anew_with_progress() -> None:
    policy = RetryPolicy(FakeClock())
    assert pauses(policy, BUSY, 6) == [0.02, 0.1, 0.25, 0.5, 0.5, 0.5]
    policy.progress()
    assert pauses(policy, BUSY, 1) == [0.02]


def test_retries_end_after_90_s_without_progress() -> None:
    clock = FakeClock()
    policy = RetryPolicy(clock)
    clock.now += 89
    pauses(policy, BUSY, 1)
    clock.now += 2
    with pytest.raises(StageBusy, match="full"):
        policy.pause(BUSY, accepted=False)
    policy.progress()
    pauses(policy, BUSY, 1)
