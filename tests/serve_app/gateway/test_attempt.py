"""One attempt at a request: fake engines in their threads."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, StageMessage, TextDelta
from opens2s_core.inference.playback import Playback
from opens2s_core.inference.records import AudioRecord, Record, TextRecord, UnitsRecord
from serve_app.config import Pacing
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageFailed, StageLost
from serve_app.gateway.attempt import Attempt
from serve_app.stages.messages import StageOutput, StageRequest
from tests.fakes import (
    GROUP,
    POISON,
    REFUSED,
    SAMPLES_PER_UNIT,
    FakeClock,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    LocalBackend,
    LocalConnection,
    local_backend,
    reply_request,
    stage_request,
    whole_reply,
)

UNITS_PER_WORD = 2 * GROUP
WORD_SECONDS = UNITS_PER_WORD / 12.5
ENDLESS = reply_request("word " * 100_000)


@dataclass
class Emitted:
    """What an attempt gave to the client."""

    messages: list[StageMessage] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    accepted: int = 0

    def emit(self, stage: str, messages: list[StageMessage], record: Record) -> None:
        assert self.accepted == 1, "nothing may be emitted before all stages have accepted"
        self.messages += messages
        self.records[stage] = record

    def on_accepted(self) -> None:
        self.accepted += 1

    @property
    def text(self) -> str:
        return "".join(message.text for message in self.messages if isinstance(message, TextDelta))

    @property
    def samples(self) -> np.ndarray:
        chunks = [message.samples for message in self.messages if isinstance(message, AudioChunk)]
        return np.concatenate([np.zeros(0, np.int16), *chunks])

    @property
    def units(self) -> int:
        return len(self.samples) // SAMPLES_PER_UNIT

    @property
    def text_ended(self) -> bool:
        return any(isinstance(message, Finish) for message in self.messages)

    async def wait_for(self, condition: Callable[["Emitted"], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition(self):
                await asyncio.sleep(0.01)


def attempt(
    backend: LocalBackend, request: ReplyRequest, emitted: Emitted, playback: Playback | None = None
) -> Attempt:
    stages = OPENS2S.stages_for(speak=request.speak)
    requests = {
        spec.name: stage_request(request if spec.input_type is None else replace(request, messages=()))
        for spec in stages
    }
    return Attempt(backend.stages, requests, playback=playback, emit=emitted.emit, on_accepted=emitted.on_accepted)


def with_backend(test: Callable[[LocalBackend], Awaitable[None]], backend: LocalBackend | None = None) -> None:
    """Carry out ``test``; every slot must be free in the end."""

    async def run(backend: LocalBackend) -> None:
        async with asyncio.timeout(20):
            await test(backend)
            await backend.free()

    if backend is None:
        with local_backend() as made:
            asyncio.run(run(made))
    else:
        try:
            asyncio.run(run(backend))
        finally:
            backend.stop()


async def whole(backend: LocalBackend, request: ReplyRequest) -> Emitted:
    emitted = Emitted()
    await attempt(backend, request, emitted).run()
    return emitted


def test_a_reply_passes_all_stages() -> None:
    async def ask(backend: LocalBackend) -> None:
        emitted = await whole(backend, reply_request())
        text, samples = whole_reply(reply_request())
        assert emitted.text == text
        np.testing.assert_array_equal(emitted.samples, samples)
        assert {type(message) for message in emitted.messages} == {TextDelta, AudioChunk, Finish}
        chunks = [message for message in emitted.messages if isinstance(message, AudioChunk)]
        assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]

    with_backend(ask)


def test_a_written_reply_needs_the_thinker_alone() -> None:
    async def ask(backend: LocalBackend) -> None:
        emitted = await whole(backend, reply_request(speak=False))
        assert emitted.messages[-1] == Finish("stop", 1, 5)
        assert [len(client.connections) for client in backend.clients.values()] == [1, 0, 0]

    with_backend(ask)


def test_requests_at_once_do_not_mix() -> None:
    async def ask(backend: LocalBackend) -> None:
        requests = [reply_request(f"number {number}") for number in range(4)]
        for emitted, request in zip(
            await asyncio.gather(*(whole(backend, request) for request in requests)), requests, strict=True
        ):
            text, samples = whole_reply(request)
            assert emitted.text == text
            np.testing.assert_array_equal(emitted.samples, samples)

    with_backend(ask)


def test_every_message_comes_with_the_record_that_it_follows_from() -> None:
    class Checked(Emitted):
        def emit(self, stage: str, messages: list[StageMessage], record: Record) -> None:
            super().emit(stage, messages, record)
            if isinstance(record, TextRecord):
                assert record.characters == len(self.text)
            if isinstance(record, AudioRecord):
                assert record.received == self.units
                units = self.records["speech_decoder"]
                assert isinstance(units, UnitsRecord)
                assert units.units >= self.units

    async def ask(backend: LocalBackend) -> None:
        emitted = Checked()
        await attempt(backend, reply_request(), emitted).run()
        assert set(emitted.records) == set(OPENS2S.names)

    with_backend(ask)


def test_text_does_not_wait_for_audio() -> None:
    class Mute(LocalConnection):
        async def send(self, message: StageRequest | StageMessage) -> None:
            if isinstance(message, StageRequest):
                await super().send(message)

    async def ask(backend: LocalBackend) -> None:
        backend.clients["token2wav"].kind = Mute
        emitted = Emitted()
        running = asyncio.create_task(attempt(backend, reply_request(), emitted).run())
        await emitted.wait_for(lambda emitted: emitted.text_ended)
        assert emitted.text == whole_reply(reply_request())[0]
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])

    with_backend(ask)


@pytest.mark.parametrize("busy", OPENS2S.names)
def test_nothing_is_emitted_of_a_request_that_a_stage_refuses_in_the_end(busy: str) -> None:
    class Busy(LocalConnection):
        async def accepted(self) -> None:
            await super().accepted()
            await asyncio.sleep(0.3)
            raise StageBusy(self.stage, "full")

    async def ask(backend: LocalBackend) -> None:
        backend.clients[busy].kind = Busy
        emitted = Emitted()
        refused = attempt(backend, reply_request(), emitted)
        with pytest.raises(StageBusy, match=f"{busy}: full"):
            await refused.run()
        assert (emitted.messages, emitted.accepted) == ([], 0)
        assert refused.accepted == set(OPENS2S.names) - {busy}

    with_backend(ask)


@pytest.mark.parametrize("late", ["speech_decoder", "token2wav"])
def test_a_stage_is_fed_before_it_has_accepted(late: str) -> None:
    class Late(LocalConnection):
        async def send(self, message: StageRequest | StageMessage) -> None:
            await super().send(message)
            if not isinstance(message, StageRequest):
                fed.set()

        async def accepted(self) -> None:
            await fed.wait()
            await super().accepted()

    fed = asyncio.Event()

    async def ask(backend: LocalBackend) -> None:
        backend.clients[late].kind = Late
        emitted = await whole(backend, reply_request())
        np.testing.assert_array_equal(emitted.samples, whole_reply(reply_request())[1])

    with_backend(ask)


@pytest.mark.parametrize("early", OPENS2S.names)
def test_a_stage_that_ends_too_early_is_lost(early: str) -> None:
    class Early(LocalConnection):
        async def __aiter__(self) -> AsyncIterator[StageOutput]:
            async for output in super().__aiter__():
                yield output
                return

    async def ask(backend: LocalBackend) -> None:
        backend.clients[early].kind = Early
        with pytest.raises(StageLost, match=f"{early}: it ended before its part of the reply did"):
            await whole(backend, reply_request())

    with_backend(ask)


@pytest.mark.parametrize("chunks", [0, 1, 5])
def test_leaving_at_any_point_frees_every_slot(chunks: int) -> None:
    async def leave(backend: LocalBackend) -> None:
        emitted = Emitted()
        running = asyncio.create_task(attempt(backend, ENDLESS, emitted).run())
        await emitted.wait_for(
            lambda emitted: sum(isinstance(message, AudioChunk) for message in emitted.messages) >= chunks
        )
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    with_backend(leave)


def test_leaving_before_the_first_connection_is_open_frees_every_slot() -> None:
    async def leave(backend: LocalBackend) -> None:
        for turns in range(8):
            running = asyncio.create_task(attempt(backend, ENDLESS, Emitted()).run())
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])

    with_backend(leave)


def test_a_finished_reply_leaves_its_slots_to_the_next() -> None:
    async def ask(backend: LocalBackend) -> None:
        for _ in range(3):
            await whole(backend, reply_request())

    with_backend(ask, LocalBackend([FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(1)]))


def test_speech_that_is_cut_ends_the_audio_and_not_the_text() -> None:
    async def ask(backend: LocalBackend) -> None:
        emitted = await whole(backend, reply_request("word " * 50))
        assert emitted.text == whole_reply(reply_request("word " * 50))[0]
        assert emitted.units == UNITS_PER_WORD
        last = [message for message in emitted.messages if isinstance(message, AudioChunk)][-1]
        assert (last.final, last.finish) == (True, "loop")

    cut = FakeSpeechDecoder(1, cut_after=UNITS_PER_WORD, finish="loop")
    with_backend(ask, LocalBackend([FakeThinker(1), cut, FakeToken2Wav(1)]))


@pytest.mark.parametrize(
    ("text", "error"), [(REFUSED, RequestRefused), (f"a {POISON}", StageFailed), ("one two", StageBusy)]
)
def test_what_a_stage_raises_is_raised_as_it_is(text: str, error: type[Exception]) -> None:
    async def ask(backend: LocalBackend) -> None:
        with pytest.raises(error):
            await whole(backend, reply_request(text))

    with_backend(
        ask, LocalBackend([FakeThinker(1), FakeSpeechDecoder(0 if error is StageBusy else 1), FakeToken2Wav(1)])
    )


@pytest.mark.parametrize(
    ("thinker", "token2wav", "raised"),
    [
        (StageLost("thinker", "gone"), ReplyFailed("why"), ReplyFailed),
        (StageFailed("thinker", "memory"), StageLost("token2wav", "gone"), StageFailed),
        (StageBusy("thinker", "full"), StageLost("token2wav", "gone"), StageLost),
        (StageLost("thinker", "gone"), RequestRefused("why"), RequestRefused),
        (ReplyFailed("why"), ZeroDivisionError(), ZeroDivisionError),
    ],
    ids=str,
)
def test_of_several_errors_that_is_raised_which_says_most_about_the_request(
    thinker: Exception, token2wav: Exception, raised: type[Exception]
) -> None:
    together = asyncio.Event()

    def failing(error: Exception) -> type[LocalConnection]:
        class Fails(LocalConnection):
            async def __aiter__(self) -> AsyncIterator[StageOutput]:
                await together.wait()
                raise error
                yield

        return Fails

    async def ask(backend: LocalBackend) -> None:
        backend.clients["thinker"].kind = failing(thinker)
        backend.clients["token2wav"].kind = failing(token2wav)
        running = asyncio.create_task(attempt(backend, reply_request(), Emitted()).run())
        await asyncio.sleep(0.1)
        together.set()
        with pytest.raises(raised):
            await running

    with_backend(ask)


def test_audio_is_made_as_far_ahead_of_playback_as_the_pacing_allows() -> None:
    clock = FakeClock()
    playback = Playback(clock=clock)

    class Played(Emitted):
        def emit(self, stage: str, messages: list[StageMessage], record: Record) -> None:
            super().emit(stage, messages, record)
            for message in messages:
                if isinstance(message, AudioChunk):
                    playback.add(len(message.samples) / (12.5 * SAMPLES_PER_UNIT))

    async def ask(backend: LocalBackend) -> None:
        emitted = Played()
        running = asyncio.create_task(attempt(backend, reply_request("word " * 18), emitted, playback).run())
        await emitted.wait_for(lambda emitted: emitted.text_ended)  # which is not paced
        for words in (4, 8):  # a word may begin while the lead is less than 3.5
            await emitted.wait_for(lambda emitted, units=words * UNITS_PER_WORD: emitted.units >= units)
            await asyncio.sleep(0.3)
            assert emitted.units == words * UNITS_PER_WORD
            clock.now += 4 * WORD_SECONDS
        running.cancel()
        await asyncio.wait([running])

    backend = LocalBackend(
        [FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(1)], pacing=Pacing(lead_seconds=3.5 * WORD_SECONDS)
    )
    with_backend(ask, backend)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 60.0])
def test_before_the_first_audio_the_speech_decoder_is_fed_once_for_some_time(seconds: float) -> None:
    fed: list[float] = []

    class Fed(LocalConnection):
        async def send(self, message: StageRequest | StageMessage) -> None:
            await super().send(message)
            if not isinstance(message, StageRequest):
                fed.append(time.monotonic())

    async def ask(backend: LocalBackend) -> None:
        backend.clients["speech_decoder"].kind = Fed
        may_send = asyncio.Event()

        class Blocked(LocalConnection):
            async def send(self, message: StageRequest | StageMessage) -> None:
                if not isinstance(message, StageRequest):
                    await may_send.wait()
                await super().send(message)

        backend.clients["token2wav"].kind = Blocked
        emitted = Emitted()
        running = asyncio.create_task(attempt(backend, reply_request(), emitted, Playback()).run())
        await emitted.wait_for(lambda emitted: emitted.text_ended)
        await asyncio.sleep(0.5)
        if seconds == 60.0:
            assert len(fed) == 1
        else:
            assert fed[1] - fed[0] >= seconds
        may_send.set()
        await running
        assert len(emitted.samples) == len(whole_reply(reply_request())[1])

    with_backend(
        ask,
        LocalBackend(
            [FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(1)], pacing=Pacing(first_audio_seconds=seconds)
        ),
    )


def test_what_nobody_plays_as_it_comes_is_not_paced() -> None:
    async def ask(backend: LocalBackend) -> None:
        emitted = await whole(backend, reply_request("word " * 18))
        assert emitted.units == 20 * UNITS_PER_WORD

    with_backend(
        ask, LocalBackend([FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(1)], pacing=Pacing(lead_seconds=1))
    )
