"""Stages as an event loop sees them: fake engines in their threads, joined as the deployments join them."""

import asyncio
from collections.abc import AsyncGenerator

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, StageMessage, TextDelta, Units
from opens2s_core.inference.records import ReplyRecord, TextRecord
from opens2s_core.prompt import Message, Text
from serve_app.calls import Call, Made
from serve_app.engine_thread import EngineThread
from serve_app.errors import CallerLost, RequestRefused, StageBusy, StageFailed, StageLost
from serve_app.lines import Lease
from serve_app.relay import Relay
from tests.fakes import (
    POISON,
    REFUSED,
    Chain,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    Joint,
    attempt,
    local_chain,
    whole_reply,
)

UNITS_PER_WORD = 8


def request(text: str = "one two three", *, speak: bool = True) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


class Sent:
    """A stage before that sends this, and then nothing more unless it ``ends``."""

    def __init__(self, *made: Made, ends: bool = False) -> None:
        self._made = made
        self._ends = ends

    async def __aiter__(self) -> AsyncGenerator[Made, None]:
        for made in self._made:
            yield made
        if not self._ends:
            await asyncio.Event().wait()

    def cancel(self) -> None: ...


def made(*messages: StageMessage) -> Made:
    return Made(messages=messages, record=ReplyRecord())


async def collect(call: Call | Relay) -> list[StageMessage]:
    return [message async for made in call for message in made.messages]


def reply(stages: Chain, text: str = "one two three", *, speak: bool = True) -> list[StageMessage]:
    async def whole() -> list[StageMessage]:
        return await collect(stages.start(attempt(request(text, speak=speak))))

    return asyncio.run(whole())


def test_a_reply_passes_all_three_stages() -> None:
    with local_chain() as stages:
        messages = reply(stages)
    text, samples = whole_reply(request())
    assert "".join(message.text for message in messages if isinstance(message, TextDelta)) == text
    chunks = [message for message in messages if isinstance(message, AudioChunk)]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [message for message in messages if isinstance(message, Finish)] == [Finish("stop", 1, 5)]


def test_hidden_states_and_units_end_at_the_stage_that_takes_them() -> None:
    with local_chain() as stages:
        assert {type(message) for message in reply(stages)} == {TextDelta, AudioChunk, Finish}


def test_a_written_reply_ends_with_its_text() -> None:
    with local_chain() as stages:
        messages = reply(stages, speak=False)
    assert {type(message) for message in messages[:-1]} == {TextDelta}
    assert messages[-1] == Finish("stop", 1, 5)


def test_text_does_not_wait_for_an_engine_that_makes_nothing() -> None:
    async def first_messages() -> tuple[StageMessage, ...]:
        stage = EngineThread(FakeSpeechDecoder(1), "speech_decoder")
        upstream = Sent(made(TextDelta("now"), Finish("stop", 1, 1)))
        relay = Relay("speech_decoder", stage, attempt(request()), upstream, Lease("speech_decoder", 0))
        first = await anext(aiter(relay))
        relay.close()
        stage.stop()
        return first.messages

    assert asyncio.run(first_messages()) == (TextDelta("now"), Finish("stop", 1, 1))


def test_a_stage_before_that_ends_too_early_is_lost() -> None:
    async def cut() -> None:
        stage = EngineThread(FakeSpeechDecoder(1), "speech_decoder")
        relay = Relay(
            "speech_decoder",
            stage,
            attempt(request()),
            Sent(made(TextDelta("now")), ends=True),
            Lease("speech_decoder", 0),
        )
        try:
            await collect(relay)
        finally:
            relay.close()
            stage.stop()

    with pytest.raises(StageLost, match="ended before"):
        asyncio.run(cut())


def test_every_message_comes_with_the_records_that_it_follows_from() -> None:
    async def records(stages: Chain) -> None:
        known = ReplyRecord()
        text, units = "", 0
        async for made in stages.start(attempt(request())):
            known = known.updated(made.record)
            text += "".join(message.text for message in made.messages if isinstance(message, TextDelta))
            units += sum(len(message.samples) for message in made.messages if isinstance(message, AudioChunk)) // 1764
            assert known.text is not None
            assert known.text.characters == len(text)
            if units:
                assert known.sound is not None
                assert known.sound.received == units
                assert known.units is not None
                assert known.units.units >= units

    with local_chain() as stages:
        asyncio.run(records(stages))


def test_replies_at_once_do_not_mix() -> None:
    async def together(stages: Chain) -> list[list[StageMessage]]:
        calls = [stages.start(attempt(request(f"number {n}"))) for n in range(4)]
        return await asyncio.gather(*map(collect, calls))

    with local_chain() as stages:
        replies = asyncio.run(together(stages))
    texts = ["".join(m.text for m in messages if isinstance(m, TextDelta)) for messages in replies]
    assert texts == [f"you said number {n} " for n in range(4)]


@pytest.mark.parametrize("read", [0, 1, 3, 8])
def test_leaving_at_any_point_frees_every_slot(read: int) -> None:
    async def leave(stages: Chain) -> None:
        call = stages.start(attempt(request("word " * 1000)))
        messages = aiter(call)
        for _ in range(read):
            await anext(messages)
        call.cancel()
        await stages.free()

    with local_chain() as stages:
        asyncio.run(leave(stages))


def test_a_cancelled_wait_frees_every_slot() -> None:
    async def leave(stages: Chain) -> None:
        call = stages.start(attempt(request("word " * 100_000)))
        listening = asyncio.create_task(collect(call))
        await asyncio.sleep(0.05)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        call.cancel()
        await stages.free()

    with local_chain() as stages:
        asyncio.run(leave(stages))


def test_a_caller_that_is_not_heard_of_loses_its_slots() -> None:
    async def lose(stages: Chain) -> None:
        endless = attempt(request("word " * 1000))
        thinker = Relay("thinker", stages.stages["thinker"], endless, None, Lease("thinker", 0))
        lease = Lease("speech_decoder", 10**6)
        relay = Relay("speech_decoder", stages.stages["speech_decoder"], endless, Joint("thinker", thinker), lease)
        messages = aiter(relay)
        await anext(messages)
        lease.lose()
        with pytest.raises(CallerLost, match="not heard of"):
            async for _ in messages:
                pass
        relay.close()
        await stages.free()

    with local_chain() as stages:
        asyncio.run(lose(stages))


def test_units_become_sound_as_far_as_they_are_granted() -> None:
    async def paced() -> tuple[str, list[int], bool, int]:
        units = [Units(np.full(UNITS_PER_WORD, n), final=n == 3) for n in range(4)]
        upstream = Sent(*(made(TextDelta(f"{n}"), group) for n, group in enumerate(units)))
        stage, lease = EngineThread(FakeToken2Wav(1), "token2wav"), Lease("token2wav", UNITS_PER_WORD + 1)
        relay = Relay("token2wav", stage, attempt(request()), upstream, lease)
        messages, text, heard = aiter(relay), "", []

        def take(part: Made) -> None:
            nonlocal text
            text += "".join(message.text for message in part.messages if isinstance(message, TextDelta))
            heard.extend(len(message.samples) for message in part.messages if isinstance(message, AudioChunk))

        while len(heard) < 2 or len(text) < 4:
            take(await anext(messages))
        granted = list(heard)
        waiting = asyncio.create_task(anext(messages))
        await asyncio.sleep(0.2)
        waited = not waiting.done()
        lease.hear(4 * UNITS_PER_WORD)
        take(await waiting)
        relay.close()
        stage.stop()
        return text, granted, waited, len(heard)

    text, granted, waited, heard = asyncio.run(paced())
    assert text == "0123"  # words are not paced
    assert granted == [UNITS_PER_WORD * 1764] * 2  # the second was begun with one more unit granted than the first has
    assert waited
    assert heard > 2


def test_a_finished_reply_leaves_its_slots_to_the_next() -> None:
    with local_chain(capacity=1) as stages:
        for _ in range(3):
            reply(stages)


def test_a_full_engine_refuses_and_keeps_serving() -> None:
    async def one_too_many(stages: Chain) -> list[StageMessage]:
        first = aiter(stages.start(attempt(request())))
        begun = [*(await anext(first)).messages]
        with pytest.raises(StageBusy, match="all 1 slots are taken"):
            await collect(stages.start(attempt(request())))
        return begun + [message async for made in first for message in made.messages]

    with local_chain(capacity=1) as stages:
        assert Finish("stop", 1, 5) in asyncio.run(one_too_many(stages))


def test_a_request_the_engine_cannot_serve_is_refused() -> None:
    with local_chain() as stages, pytest.raises(RequestRefused, match="too long"):
        reply(stages, REFUSED)


def test_what_was_handed_out_before_is_not_handed_out_again() -> None:
    async def rest() -> list[StageMessage]:
        stage = EngineThread(FakeThinker(1), "thinker")
        record = ReplyRecord(text=TextRecord((0, 1), groups=2, characters=len("you said ")))
        relay = Relay("thinker", stage, attempt(request(), record), None, Lease("thinker", 0))
        messages = await collect(relay)
        relay.close()
        stage.stop()
        return messages

    messages = asyncio.run(rest())
    assert "".join(m.text for m in messages if isinstance(m, TextDelta)) == "one two three "
    assert sum(type(m).__name__ == "Hiddens" for m in messages) == 6  # the speech decoder hears all again


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_engine_ends_its_replies_and_reports_itself() -> None:
    async def poisoned(stages: Chain) -> list[list[StageMessage] | BaseException]:
        calls = [stages.start(attempt(request(text))) for text in ("word " * 1000, f"a {POISON}")]
        outcomes = await asyncio.gather(*map(collect, calls), return_exceptions=True)
        while any(stages.stages[name].open_streams for name in ("speech_decoder", "token2wav")):
            await asyncio.sleep(0.01)
        return outcomes

    with local_chain() as stages:
        outcomes = asyncio.run(poisoned(stages))
        assert [type(outcome) for outcome in outcomes] == [StageFailed, StageFailed]
        with pytest.raises(StageFailed, match="thinker: the engine failed: RuntimeError: poisoned"):
            stages.stages["thinker"].check()
        with pytest.raises(StageLost):  # whoever comes later is not the cause
            reply(stages)
        stages.stages["token2wav"].check()
