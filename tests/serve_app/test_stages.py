"""Stages as an event loop sees them: fake engines in their threads, joined as the deployments join them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from opens2s_core.inference.engine import EngineFull
from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, TextDelta
from opens2s_core.prompt import Message, Text
from serve_app.engine_thread import EngineThread, relay
from serve_app.errors import RequestRefused, StageFailed
from tests.fakes import POISON, REFUSED, Chain, FakeSpeechDecoder, Joint, local_chain, whole_reply


def request(text: str = "one two three", *, speak: bool = True) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


async def collect(messages: AsyncIterator[StageMessage]) -> list[StageMessage]:
    return [message async for message in messages]


def test_a_reply_passes_all_three_stages() -> None:
    with local_chain() as stages:
        messages = asyncio.run(collect(stages.reply(request())))
    text, samples = whole_reply(request())
    assert "".join(message.text for message in messages if isinstance(message, TextDelta)) == text
    chunks = [message for message in messages if isinstance(message, AudioChunk)]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [message for message in messages if isinstance(message, Finish)] == [Finish("stop", 1, 5)]


def test_hidden_states_and_units_end_at_the_stage_that_takes_them() -> None:
    with local_chain() as stages:
        messages = asyncio.run(collect(stages.reply(request())))
    assert {type(message) for message in messages} == {TextDelta, AudioChunk, Finish}


def test_a_written_reply_ends_with_its_text() -> None:
    with local_chain() as stages:
        thinker = relay(stages.stages["thinker"], request(speak=False), None, None)
        messages = asyncio.run(collect(thinker))
    assert {type(message) for message in messages[:-1]} == {TextDelta}
    assert messages[-1] == Finish("stop", 1, 5)


def test_text_does_not_wait_for_an_engine_that_makes_nothing() -> None:
    async def first_messages() -> list[StageMessage]:
        async def upstream() -> AsyncGenerator[StageMessage, None]:
            yield TextDelta("now")
            yield Finish("stop", 1, 1)
            await asyncio.Event().wait()

        stage = EngineThread(FakeSpeechDecoder(1))
        messages = relay(stage, request(), Joint(upstream()), Hiddens)
        taken = [await anext(messages), await anext(messages)]
        await messages.aclose()
        stage.stop()
        return taken

    assert asyncio.run(first_messages()) == [TextDelta("now"), Finish("stop", 1, 1)]


def test_replies_at_once_do_not_mix() -> None:
    async def together(stages: Chain) -> list[list[StageMessage]]:
        return await asyncio.gather(*(collect(stages.reply(request(f"number {n}"))) for n in range(4)))

    with local_chain() as stages:
        replies = asyncio.run(together(stages))
    texts = ["".join(m.text for m in reply if isinstance(m, TextDelta)) for reply in replies]
    assert texts == [f"you said number {n} " for n in range(4)]


@pytest.mark.parametrize("read", [0, 1, 3, 8])
def test_leaving_at_any_point_frees_every_slot(read: int) -> None:
    async def leave(stages: Chain) -> None:
        reply = stages.reply(request("word " * 1000))
        for _ in range(read):
            await anext(reply)
        await reply.aclose()
        await stages.free()

    with local_chain() as stages:
        asyncio.run(leave(stages))


def test_a_cancelled_wait_frees_every_slot() -> None:
    async def leave(stages: Chain) -> None:
        listening = asyncio.create_task(collect(stages.reply(request("word " * 100_000))))
        await asyncio.sleep(0.05)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        await stages.free()

    with local_chain() as stages:
        asyncio.run(leave(stages))


def test_a_finished_reply_leaves_its_slots_to_the_next() -> None:
    async def in_turn(stages: Chain) -> None:
        for _ in range(3):
            await collect(stages.reply(request()))

    with local_chain(capacity=1) as stages:
        asyncio.run(in_turn(stages))


def test_a_full_engine_refuses_and_keeps_serving() -> None:
    async def one_too_many(stages: Chain) -> list[StageMessage]:
        first = stages.reply(request())
        begun = [await anext(first)]
        with pytest.raises(EngineFull):
            await collect(stages.reply(request()))
        return begun + [message async for message in first]

    with local_chain(capacity=1) as stages:
        assert Finish("stop", 1, 5) in asyncio.run(one_too_many(stages))


def test_a_request_the_engine_cannot_serve_is_refused() -> None:
    with local_chain() as stages, pytest.raises(RequestRefused, match="too long"):
        asyncio.run(collect(stages.reply(request(REFUSED))))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_engine_ends_its_replies_and_reports_itself() -> None:
    async def poisoned(stages: Chain) -> list[list[StageMessage] | BaseException]:
        replies = [collect(stages.reply(request(text))) for text in ("word " * 1000, f"a {POISON}")]
        outcomes = await asyncio.gather(*replies, return_exceptions=True)
        while any(stages.stages[name].open_streams for name in ("speech_decoder", "token2wav")):
            await asyncio.sleep(0.01)
        return outcomes

    with local_chain() as stages:
        outcomes = asyncio.run(poisoned(stages))
        assert [type(outcome) for outcome in outcomes] == [StageFailed, StageFailed]
        with pytest.raises(StageFailed, match="poisoned"):
            stages.stages["thinker"].check()
        with pytest.raises(StageFailed):
            asyncio.run(collect(stages.reply(request())))
        stages.stages["token2wav"].check()
