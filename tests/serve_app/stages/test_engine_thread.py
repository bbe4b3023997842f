"""An engine in its thread, seen from the event loop."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from opens2s_core.inference.engine import ContextLengthExceeded, StreamFailed, StreamId
from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, StageMessage, TextDelta, Units
from opens2s_core.inference.records import Record, TextRecord
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.stages.engine_thread import EngineStream, EngineThread
from serve_app.stages.messages import Accepted, StageOutput
from tests.fakes import GROUP, REFUSED, FakeEngine, FakeSpeechDecoder, FakeThinker, reply_request, stage_request

THINKER, SPEECH_DECODER, _ = OPENS2S.stages
LAST = HiddenStates(np.zeros((GROUP, 2), np.float32), final=True)
WRITTEN = reply_request(speak=False)
ENDLESS = reply_request("word " * 10_000, speak=False)


def with_thread(
    engine: FakeEngine, test: Callable[[EngineThread], Awaitable[None]], *, coalesce_seconds: float = 0.0
) -> None:
    """Carry out ``test``; in the end no slot may be taken."""
    spec = SPEECH_DECODER if isinstance(engine, FakeSpeechDecoder) else THINKER
    thread = EngineThread(engine, spec, coalesce_seconds=coalesce_seconds)

    async def run() -> None:
        async with asyncio.timeout(10):
            await test(thread)
            while thread.open_streams:
                await asyncio.sleep(0.01)

    try:
        asyncio.run(run())
    finally:
        thread.stop()


async def outputs(stream: EngineStream) -> list[StageOutput]:
    items = [item async for item in stream]
    stream.close()
    assert items[0] == Accepted()
    return [item for item in items if isinstance(item, StageOutput)]


async def messages_of(stream: EngineStream) -> list[StageMessage]:
    return [message for output in await outputs(stream) for message in output.messages]


def text_of(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def test_a_stream_yields_what_the_engine_makes_to_its_end() -> None:
    async def ask(thread: EngineThread) -> None:
        messages = await messages_of(thread.open(stage_request(WRITTEN)))
        assert text_of(messages) == "you said one two three "
        assert messages[-1] == Finish("stop", 1, 5)

    with_thread(FakeThinker(1), ask)


def test_each_output_comes_with_the_record_after_it() -> None:
    async def ask(thread: EngineThread) -> None:
        text = ""
        for output in await outputs(thread.open(stage_request(WRITTEN))):
            text += text_of(output.messages)
            assert isinstance(output.record, TextRecord)
            assert output.record.characters == len(text)

    with_thread(FakeThinker(1), ask)


def test_what_was_given_before_is_not_given_again() -> None:
    async def resume(thread: EngineThread) -> None:
        record = TextRecord((0, 1), groups=0, characters=len("you said "))
        messages = await messages_of(thread.open(stage_request(reply_request(), record)))
        assert text_of(messages) == "one two three "
        assert sum(isinstance(message, HiddenStates) for message in messages) == 6, "the speech decoder needs all again"

    with_thread(FakeThinker(1), resume)


def test_output_within_a_short_time_comes_together() -> None:
    async def ask(thread: EngineThread) -> None:
        messages = await messages_of(thread.open(stage_request(WRITTEN)))
        assert messages == [TextDelta("you "), TextDelta("said one two three "), Finish("stop", 1, 5)]

    with_thread(FakeThinker(1), ask, coalesce_seconds=600)


def test_a_full_engine_is_busy_and_a_closed_stream_makes_room() -> None:
    async def ask(thread: EngineThread) -> None:
        first = thread.open(stage_request(reply_request()))
        with pytest.raises(StageBusy, match="all 1 slots are taken"):
            await outputs(thread.open(stage_request(reply_request())))
        first.close()
        second = thread.open(stage_request(reply_request()))
        second.push(LAST)
        assert len(await outputs(second)) == 1

    with_thread(FakeSpeechDecoder(1), ask)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("why"), "refused"),
        (TypeError("why"), "refused"),
        (ContextLengthExceeded("why"), "context_length_exceeded"),
    ],
)
def test_a_request_that_the_engine_cannot_serve_is_refused(error: Exception, code: str) -> None:
    class Choosy(FakeThinker):
        def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
            if request.messages[-1] == reply_request(REFUSED).messages[-1]:
                raise error
            return super().open(request, record)

    async def ask(thread: EngineThread) -> None:
        with pytest.raises(RequestRefused, match="why") as refused:
            await outputs(thread.open(stage_request(reply_request(REFUSED))))
        assert refused.value.code == code
        assert await outputs(thread.open(stage_request(WRITTEN)))

    with_thread(Choosy(1), ask)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_a_message_that_the_engine_cannot_take_fails_its_own_stream_alone(error: type[Exception]) -> None:
    class Narrow(FakeSpeechDecoder):
        def push(self, stream: StreamId, message: StageMessage) -> None:
            if isinstance(message, HiddenStates) and message.values.shape[1] != 2:
                raise error(f"hidden states of width {message.values.shape[1]}: expected 2")
            super().push(stream, message)

    async def feed(thread: EngineThread) -> None:
        wide, good = (thread.open(stage_request(reply_request())) for _ in range(2))
        wide.push(HiddenStates(np.zeros((GROUP, 3), np.float32), final=False))
        with pytest.raises(ReplyFailed, match="speech_decoder: hidden states of width 3: expected 2"):
            await outputs(wide)
        good.push(LAST)
        assert len(await messages_of(good)) == 1

    with_thread(Narrow(2), feed)


def test_a_stream_that_cannot_go_on_ends_alone_with_what_it_had_made() -> None:
    class Fragile(FakeThinker):
        def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
            if stream == 1 and self.streams[stream].done > 5:
                raise StreamFailed("not a number")
            return super().chunks(stream)

    async def ask(thread: EngineThread) -> None:
        bad, good = (thread.open(stage_request(WRITTEN)) for _ in range(2))
        items = aiter(bad)
        assert await anext(items) == Accepted()
        first = await anext(items)
        assert isinstance(first, StageOutput)
        assert first.messages == (TextDelta("you "),)
        with pytest.raises(ReplyFailed, match="thinker: not a number"):
            await anext(items)
        assert text_of(await messages_of(good)) == "you said one two three "

    with_thread(Fragile(2), ask)


def test_what_comes_for_a_slot_that_is_free_again_is_dropped() -> None:
    async def feed(thread: EngineThread) -> None:
        closed = thread.open(stage_request(reply_request()))
        closed.close()
        closed.push(LAST)
        stream = thread.open(stage_request(reply_request()))
        stream.push(LAST)
        assert [type(message) for message in await messages_of(stream)] == [Units]

    with_thread(FakeSpeechDecoder(1), feed)


class Breaks(FakeThinker):
    """Fails in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__(2)
        self._method = method

    def _fail(self, method: str) -> None:
        if self._method == method and self.streams:
            raise RuntimeError("out of memory")

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        self._fail("open")
        return super().open(request, record)

    def step(self) -> bool:
        self._fail("step")
        return super().step()

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        self._fail("chunks")
        return super().chunks(stream)

    def close(self, stream: StreamId) -> None:
        self._fail("close")
        super().close(stream)


@pytest.mark.parametrize("method", ["open", "step", "chunks"])
def test_an_engine_that_fails_anywhere_ends_every_stream_now_and_later(method: str) -> None:
    async def fail(thread: EngineThread) -> None:
        streams = [thread.open(stage_request(ENDLESS)) for _ in range(2)]
        for stream in streams:
            with pytest.raises(StageFailed, match="thinker: the engine failed: RuntimeError: out of memory"):
                await outputs(stream)
        with pytest.raises(StageFailed, match="out of memory"):
            await outputs(thread.open(stage_request(WRITTEN)))
        with pytest.raises(StageFailed, match="out of memory"):
            thread.check(stalled_seconds=60)

    with_thread(Breaks(method), fail)


def test_an_engine_that_fails_to_free_a_slot_is_not_used_again() -> None:
    async def fail(thread: EngineThread) -> None:
        streams = [thread.open(stage_request(ENDLESS)) for _ in range(2)]
        streams[0].close()
        with pytest.raises(StageFailed, match="out of memory"):
            await outputs(streams[1])

    with_thread(Breaks("close"), fail)


def test_a_step_that_does_not_end_is_noticed() -> None:
    released = threading.Event()

    class Hangs(FakeThinker):
        def step(self) -> bool:
            if self.streams:
                released.wait(5)
            return False

    async def ask(thread: EngineThread) -> None:
        thread.check(stalled_seconds=0.1)
        stream = thread.open(stage_request(WRITTEN))
        await asyncio.sleep(0.2)
        assert thread.stalled() > 0.1
        with pytest.raises(StageLost, match="thinker: a step has not ended for"):
            thread.check(stalled_seconds=0.1)
        stream.close()
        released.set()

    with_thread(Hangs(1), ask)


def test_an_idle_engine_has_not_stalled() -> None:
    async def wait(thread: EngineThread) -> None:
        thread.stalled()
        time.sleep(0.2)
        thread.stalled()  # asks for a sign of life
        await asyncio.sleep(0.05)
        assert thread.stalled() < 0.2

    with_thread(FakeThinker(1), wait)


def test_an_event_loop_that_has_ended_harms_no_other() -> None:
    thread = EngineThread(FakeThinker(1), THINKER)

    async def leave() -> None:
        thread.open(stage_request(reply_request("word " * 100)))

    async def ask() -> None:
        async with asyncio.timeout(5):
            with pytest.raises(StageError):  # its slot was never given back
                await outputs(thread.open(stage_request(WRITTEN)))

    asyncio.run(leave())
    asyncio.run(ask())
    thread.stop()
