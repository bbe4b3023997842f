"""Replies whose stages are lost on the way: what the client gets is what it would have got."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    ReplyRequest,
    Sampling,
    SoundFormat,
    StageMessage,
    TextDelta,
)
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import Message, Text
from serve_app.config import STAGES, StageName
from serve_app.errors import ReplyFailed, StageBusy, StageError, StageLost
from serve_app.gateway import resuming
from serve_app.gateway.calls import Attempt, Crowd
from serve_app.gateway.chain import AskStage
from serve_app.gateway.resuming import PlaybackClock, ResumingReply
from serve_app.stages import outbox
from tests.fakes import POISON, FakeSpeechDecoder, FakeThinker, FakeToken2Wav, LocalCall, Stages, whole_reply

RATE = 22_050
Loss = tuple[StageName, int]
losses_in = st.lists(st.tuples(st.sampled_from(STAGES), st.integers(0, 12)), max_size=3)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_PAUSES", (0.0,))


def request(text: str = "one two three", *, speak: bool = True) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


async def gather(ask: AskStage, asked: ReplyRequest, resumed: list[str]) -> list[StageMessage]:
    reply = ResumingReply(
        asked,
        ask,
        name="r",
        sample_rate=RATE,
        lead=None,
        crowd=Crowd(),
        taken=lambda: None,
        resumed=resumed.append,
    )
    return [message async for message in reply]


def fake_reply(asked: ReplyRequest, losses: Sequence[Loss]) -> tuple[list[StageMessage], list[str], Stages]:
    stages = Stages([FakeThinker(4), FakeSpeechDecoder(4), FakeToken2Wav(4)], losses)
    resumed: list[str] = []

    async def run() -> list[StageMessage]:
        messages = await gather(stages.ask, asked, resumed)
        await stages.free()
        return messages

    try:
        return asyncio.run(run()), resumed, stages
    finally:
        stages.stop()


def said(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def sound(messages: Sequence[StageMessage]) -> np.ndarray:
    return np.concatenate([message.samples for message in messages if isinstance(message, AudioChunk)])


@given(losses=losses_in, speak=st.booleans(), together=st.sampled_from([0.0, outbox.TOGETHER_SECONDS]))
@settings(max_examples=40)
def test_stages_lost_anywhere_leave_no_trace_in_a_reply(losses: list[Loss], speak: bool, together: float) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "TOGETHER_SECONDS", together)
        messages, resumed, stages = fake_reply(request(speak=speak), losses)
    text, samples = whole_reply(request())
    assert said(messages) == text
    assert sum(isinstance(message, Finish) for message in messages) == 1
    if speak:
        np.testing.assert_array_equal(sound(messages), samples)
    attempts = [call.attempt for call in stages.thinker_calls]
    assert len(attempts) == 1 + len(resumed)
    assert None not in attempts
    assert len(set(attempts)) == len(attempts)


@pytest.fixture(scope="module")
def bundle_engines(tiny_bundle: Path) -> list:
    return [build_engine(stage, tiny_bundle, capacity=2) for stage in STAGES]


@pytest.fixture
def bundle_stages(bundle_engines: list) -> Iterator[Stages]:
    stages = Stages(bundle_engines)
    yield stages
    stages.stop()


SPOKEN = ReplyRequest(
    messages=(Message("user", (Text("tell me something"),)),),
    text=Sampling(max_tokens=14),
    units=Sampling(max_tokens=80),
    audio=SoundFormat(samples="int16"),
    seed=3,
)


@pytest.mark.parametrize("lost", STAGES)
@pytest.mark.parametrize("behind", [0, 1, 2])
def test_a_reply_of_the_real_engines_is_the_undisturbed_one(
    bundle_stages: Stages, tiny_bundle: Path, lost: StageName, behind: int
) -> None:
    undisturbed = list(Pipeline.load(tiny_bundle).reply(SPOKEN))
    resumed: list[str] = []
    bundle_stages.losses = [(lost, behind), (lost, 0)]
    messages = asyncio.run(gather(bundle_stages.ask, SPOKEN, resumed))
    assert resumed == [lost, lost]
    assert said(messages) == said(undisturbed)
    ours, theirs = sound(messages), sound(undisturbed)
    assert len(ours) == len(theirs) > RATE
    assert np.abs(ours.astype(int) - theirs).max() <= 33  # 1e-3 of full scale
    assert [m for m in messages if isinstance(m, Finish)] == [m for m in undisturbed if isinstance(m, Finish)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reply_that_breaks_engines_is_given_up() -> None:
    broken: list[Stages] = []

    def ask(stage: StageName) -> LocalCall:
        if stage == "thinker":  # a new replica each time
            broken.append(Stages([FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(1)]))
        return broken[-1].ask(stage)

    with pytest.raises(ReplyFailed, match=r"3 engines broke under it, at last thinker: .*poisoned"):
        asyncio.run(gather(ask, request(f"a {POISON}"), []))
    assert 3 <= len(broken) <= 4  # the first one made progress


class Failing(LocalCall):
    """A call that only ever raises."""

    def __init__(self, error: StageError) -> None:
        self._error = error

    async def begin(self, attempt: Attempt) -> None:
        raise self._error

    def cancel(self) -> None: ...


def fail_with(error: StageError) -> int:
    """How often a reply was asked for until it raised the same error."""
    attempts = 0

    def ask(stage: StageName) -> LocalCall:
        nonlocal attempts
        attempts += stage == "thinker"
        return Failing(error)

    with pytest.raises(type(error)) as raised:
        asyncio.run(gather(ask, request(), []))
    assert raised.value is error
    return attempts


def test_a_full_stage_is_told_at_once_to_who_has_not_begun() -> None:
    assert fail_with(StageBusy("token2wav", "full")) == 1


def test_a_stage_that_stays_away_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(resuming, "_PAUSES", (0.01,))
    assert fail_with(StageLost("thinker", "ActorDiedError")) > 2


def test_a_listener_is_granted_a_lead_over_playback() -> None:
    now = 100.0
    clock = PlaybackClock(2.0, lambda: now)
    assert clock.granted() == 26
    now += 50
    assert clock.granted() == 26  # nothing to hear yet
    clock.begin()
    now += 4
    assert clock.granted() == 76
    clock.begin()
    assert clock.granted() == 76


def test_whoever_takes_a_whole_reply_is_granted_all() -> None:
    assert PlaybackClock(None).granted() > 10**6
