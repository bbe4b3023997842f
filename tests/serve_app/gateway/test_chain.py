"""The three stages of a reply, joined: fake engines in their threads."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, TextDelta, Units
from opens2s_core.inference.records import ReplyRecord, TextRecord
from opens2s_core.prompt import Message, Text
from serve_app.config import STAGES, StageName
from serve_app.errors import RequestRefused, StageBusy, StageFailed, StageLost
from serve_app.gateway.calls import Attempt, Caller, Crowd, Made
from serve_app.gateway.chain import AskStage, Chain, Reservation
from serve_app.stages.engine_thread import EngineThread
from tests.fakes import (
    GROUP,
    POISON,
    REFUSED,
    SAMPLES_PER_UNIT,
    FakeSpeechDecoder,
    FakeThinker,
    LocalCall,
    Stages,
    attempt,
    local_stages,
    whole_reply,
)

UNITS_PER_WORD = 8


def request(text: str = "one two three", *, speak: bool = True) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


async def collect(call: Chain) -> list[StageMessage]:
    return [message async for made in call for message in made.messages]


def asking(stages: Stages, other: StageName, kind: type[LocalCall]) -> AskStage:
    """Asks ``other`` by calls of another ``kind``."""
    return lambda stage: (kind if stage == other else LocalCall)(stage, stages.threads[stage], None)


def reply(stages: Stages, text: str = "one two three", *, speak: bool = True) -> list[StageMessage]:
    async def whole() -> list[StageMessage]:
        return await collect(stages.start(attempt(request(text, speak=speak))))

    return asyncio.run(whole())


def test_a_reply_passes_all_three_stages() -> None:
    with local_stages() as stages:
        messages = reply(stages)
    text, samples = whole_reply(request())
    assert "".join(message.text for message in messages if isinstance(message, TextDelta)) == text
    chunks = [message for message in messages if isinstance(message, AudioChunk)]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [message for message in messages if isinstance(message, Finish)] == [Finish("stop", 1, 5)]


def test_hidden_states_and_units_end_at_the_stage_that_takes_them() -> None:
    with local_stages() as stages:
        assert {type(message) for message in reply(stages)} == {TextDelta, AudioChunk, Finish}


def test_a_written_reply_ends_with_its_text() -> None:
    with local_stages() as stages:
        messages = reply(stages, speak=False)
    assert {type(message) for message in messages[:-1]} == {TextDelta}
    assert messages[-1] == Finish("stop", 1, 5)


class Cut(LocalCall):
    """A call whose stage ends what it makes too early."""

    async def __aiter__(self) -> AsyncIterator[Made]:
        async for made in super().__aiter__():
            yield made
            return


class Refused(LocalCall):
    """A call that is refused in the end."""

    async def begin(self, attempt: Attempt) -> None:
        await asyncio.sleep(0.3)
        raise StageBusy(self._stage, "all places to wait in are taken")


def test_text_does_not_wait_for_sound() -> None:
    async def text(stages: Stages) -> list[StageMessage]:
        class Mute(LocalCall):
            async def send(self, message: StageMessage) -> None: ...

        chain, told = Chain(attempt(request()), asking(stages, "token2wav", Mute), Caller()), []
        async with asyncio.timeout(5):
            async for made in chain:
                told += made.messages
                if any(isinstance(message, Finish) for message in made.messages):
                    break
        chain.cancel()
        return told

    with local_stages() as stages:
        messages = asyncio.run(text(stages))
    assert "".join(m.text for m in messages if isinstance(m, TextDelta)) == whole_reply(request())[0]


@pytest.mark.parametrize("full", ["speech_decoder", "token2wav"])
def test_nothing_is_told_of_a_reply_that_is_refused_in_the_end(full: StageName) -> None:
    async def refuse(stages: Stages) -> None:
        caller = Caller(taken=lambda: pytest.fail("not all have taken it"))
        chain = Chain(attempt(request()), asking(stages, full, Refused), caller)
        with pytest.raises(StageBusy):
            await anext(aiter(chain))
        assert not stages.threads["thinker"].open_streams  # which went ahead meanwhile
        chain.cancel()
        await stages.free()

    with local_stages() as stages:
        asyncio.run(refuse(stages))


@pytest.mark.parametrize("cut", STAGES)
def test_a_stage_that_ends_too_early_is_lost(cut: StageName) -> None:
    async def end(stages: Stages) -> None:
        chain = Chain(attempt(request()), asking(stages, cut, Cut), Caller())
        with pytest.raises(StageLost, match=f"{cut}: it ended before"):
            await collect(chain)
        chain.cancel()
        await stages.free()

    with local_stages() as stages:
        asyncio.run(end(stages))


def test_every_message_comes_with_the_records_that_it_follows_from() -> None:
    async def records(stages: Stages) -> None:
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

    with local_stages() as stages:
        asyncio.run(records(stages))


def test_replies_at_once_do_not_mix() -> None:
    async def together(stages: Stages) -> list[list[StageMessage]]:
        calls = [stages.start(attempt(request(f"number {n}"))) for n in range(4)]
        return await asyncio.gather(*map(collect, calls))

    with local_stages() as stages:
        replies = asyncio.run(together(stages))
    texts = ["".join(m.text for m in messages if isinstance(m, TextDelta)) for messages in replies]
    assert texts == [f"you said number {n} " for n in range(4)]


@pytest.mark.parametrize("read", [0, 1, 3, 8])
def test_leaving_at_any_point_frees_every_slot(read: int) -> None:
    async def leave(stages: Stages) -> None:
        call = stages.start(attempt(request("word " * 1000)))
        messages = aiter(call)
        for _ in range(read):
            await anext(messages)
        call.cancel()
        await stages.free()

    with local_stages() as stages:
        asyncio.run(leave(stages))


def test_a_cancelled_wait_frees_every_slot() -> None:
    async def leave(stages: Stages) -> None:
        call = stages.start(attempt(request("word " * 100_000)))
        listening = asyncio.create_task(collect(call))
        await asyncio.sleep(0.05)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        call.cancel()
        await stages.free()

    with local_stages() as stages:
        asyncio.run(leave(stages))


def test_units_become_sound_as_far_as_they_are_granted() -> None:
    granted = UNITS_PER_WORD + 1

    async def paced(stages: Stages) -> tuple[str, list[int]]:
        nonlocal granted
        chain = stages.start(attempt(request()), Caller(granted=lambda: granted))
        text, heard = "", 0
        made = aiter(chain)

        async def hear(words: int, units: int) -> None:
            nonlocal text, heard
            while len(text.split()) < words or heard < units:
                for message in (await anext(made)).messages:
                    text += message.text if isinstance(message, TextDelta) else ""
                    heard += len(message.samples) // SAMPLES_PER_UNIT if isinstance(message, AudioChunk) else 0

        steps = []
        await hear(5, 2 * UNITS_PER_WORD)  # words are not paced
        waiting = asyncio.create_task(hear(5, 2 * UNITS_PER_WORD + 1))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        steps.append(heard)  # the second group was begun with one more unit granted than the first has
        granted = 5 * UNITS_PER_WORD + 1
        await waiting
        await hear(5, 5 * UNITS_PER_WORD)
        steps.append(heard)
        chain.cancel()
        return text, steps

    with local_stages() as stages:
        text, steps = asyncio.run(paced(stages))
    assert text == whole_reply(request())[0]
    assert steps == [2 * UNITS_PER_WORD, 5 * UNITS_PER_WORD]


def test_the_conversation_is_told_to_the_thinker_alone() -> None:
    told = {stage: attempt(request()).for_stage(stage).request.messages for stage in STAGES}
    assert told == {"thinker": request().messages, "speech_decoder": (), "token2wav": ()}


def test_in_a_crowd_only_the_sound_waits_for_a_place() -> None:
    async def wait(stages: Stages) -> None:
        asked: list[StageName] = []
        placed = asyncio.Event()
        crowd = Crowd()

        class Slow(LocalCall):
            async def begin(self, attempt: Attempt) -> None:
                await placed.wait()
                await super().begin(attempt)

        def ask(stage: StageName) -> LocalCall:
            asked.append(stage)
            return asking(stages, "token2wav", Slow)(stage)

        def start() -> Chain:
            return Chain(attempt(request()), ask, Caller(crowd=crowd))

        first = start()
        await asyncio.sleep(0.05)
        assert (asked, crowd.waiting) == (list(STAGES), 1)
        second, third = start(), start()
        written = Chain(attempt(request(speak=False)), stages.ask, Caller(crowd=crowd))
        assert Finish("stop", 1, 5) in await collect(written)  # text waits for nobody's sound
        assert (asked[3:], crowd.waiting) == (["token2wav", "token2wav"], 3)
        third.cancel()
        await asyncio.sleep(0.05)
        assert crowd.waiting == 2
        placed.set()
        heard = await asyncio.gather(collect(first), collect(second))
        for messages in heard:
            assert any(isinstance(message, AudioChunk) and message.final for message in messages)
        assert (asked[5:], crowd.waiting) == (["thinker", "speech_decoder"], 0)
        await stages.free()

    with local_stages() as stages:
        asyncio.run(wait(stages))


def test_a_reserved_place_is_used_once_or_given_back() -> None:
    asked: list[StageName] = []
    cancelled: list[StageName] = []

    class Asked(LocalCall):
        def __init__(self, stage: StageName) -> None:
            asked.append(stage)
            self.stage = stage

        def cancel(self) -> None:
            cancelled.append(self.stage)

    async def use() -> None:
        reservation = Reservation(Asked, seconds=0.1)
        assert asked == ["thinker"]
        reservation.ask("thinker")
        assert asked == ["thinker"]
        for stage in STAGES:  # another attempt
            reservation.ask(stage)
        assert asked == ["thinker", *STAGES]
        reservation.cancel()
        assert cancelled == []  # it was used, so it is no longer the reservation's

    async def let_pass() -> None:
        reservation = Reservation(Asked, seconds=0.1)
        await asyncio.sleep(0.3)
        assert cancelled == ["thinker"]
        asked.clear()
        reservation.ask("thinker")
        assert asked == ["thinker"]

    asyncio.run(use())
    asyncio.run(let_pass())


def test_a_finished_reply_leaves_its_slots_to_the_next() -> None:
    with local_stages(capacity=1) as stages:
        for _ in range(3):
            reply(stages)


def test_a_full_engine_refuses_and_keeps_serving() -> None:
    async def one_too_many(stages: Stages) -> list[StageMessage]:
        first = aiter(stages.start(attempt(request())))
        begun = [*(await anext(first)).messages]
        with pytest.raises(StageBusy, match="all 1 slots are taken"):
            await collect(stages.start(attempt(request())))
        return begun + [message async for made in first for message in made.messages]

    with local_stages(capacity=1) as stages:
        assert Finish("stop", 1, 5) in asyncio.run(one_too_many(stages))


def test_a_request_the_engine_cannot_serve_is_refused() -> None:
    with local_stages() as stages, pytest.raises(RequestRefused, match="too long"):
        reply(stages, REFUSED)


def test_what_comes_for_a_slot_that_is_free_again_harms_nobody() -> None:
    async def push_late() -> list[StageMessage]:
        decoder = EngineThread(FakeSpeechDecoder(1), "speech_decoder")
        closed = decoder.open(attempt(request()))
        closed.close()
        closed.push(Hiddens(np.zeros((GROUP, 2), np.float32), final=True))
        stream = decoder.open(attempt(request()))
        stream.push(Hiddens(np.zeros((GROUP, 2), np.float32), final=True))
        messages = [message async for made in stream for message in made.messages]
        decoder.stop()
        return messages

    assert [type(message) for message in asyncio.run(push_late())] == [Units]


def test_what_was_handed_out_before_is_not_handed_out_again() -> None:
    async def rest() -> list[StageMessage]:
        thinker = EngineThread(FakeThinker(1), "thinker")
        record = ReplyRecord(text=TextRecord((0, 1), groups=2, characters=len("you said ")))
        stream = thinker.open(attempt(request(), record))
        messages = [message async for made in stream for message in made.messages]
        stream.close()
        thinker.stop()
        return messages

    messages = asyncio.run(rest())
    assert "".join(m.text for m in messages if isinstance(m, TextDelta)) == "one two three "
    assert sum(type(m).__name__ == "Hiddens" for m in messages) == 6  # the speech decoder hears all again


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_engine_ends_its_replies_and_reports_itself() -> None:
    async def poisoned(stages: Stages) -> list[list[StageMessage] | BaseException]:
        calls = [stages.start(attempt(request(text))) for text in ("word " * 1000, f"a {POISON}")]
        outcomes = await asyncio.gather(*map(collect, calls), return_exceptions=True)
        for call in calls:
            call.cancel()
        while any(stages.threads[name].open_streams for name in ("speech_decoder", "token2wav")):
            await asyncio.sleep(0.01)
        return outcomes

    with local_stages() as stages:
        outcomes = asyncio.run(poisoned(stages))
        assert [type(outcome) for outcome in outcomes] == [StageFailed, StageFailed]
        with pytest.raises(StageFailed, match="thinker: the engine failed: RuntimeError: poisoned"):
            stages.threads["thinker"].check()
        with pytest.raises(StageLost):  # whoever comes later is not the cause
            reply(stages)
        stages.threads["token2wav"].check()
