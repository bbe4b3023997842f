"""An engine in its thread: when it works, and when it gives way."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from opens2s_core.inference.messages import Hiddens, ReplyRequest
from opens2s_core.inference.records import ReplyRecord
from serve_app.gateway.calls import Made
from serve_app.stages import engine_thread
from serve_app.stages.engine_thread import EngineStream, EngineThread
from tests.fakes import GROUP, FakeSpeechDecoder, FakeStream, FakeToken2Wav, attempt

HIDDENS = Hiddens(np.zeros((GROUP, 2), np.float32), final=False)
REQUEST = ReplyRequest(messages=())
SOUNDING = ReplyRecord(sound=FakeToken2Wav(1).record_of(FakeStream(REQUEST)))
A_WHILE = 0.2


@pytest.fixture
def speech_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineThread]:
    """It gives way for longer than any test lasts."""
    monkeypatch.setattr(engine_thread, "_GIVE_WAY_SECONDS", 600.0)
    thread = EngineThread(FakeSpeechDecoder(2), "speech_decoder")
    yield thread
    thread.stop()


async def after_the_first(stream: EngineStream) -> "asyncio.Task[Made]":
    """The second answer, which is under way."""
    made = aiter(stream)
    stream.push(HIDDENS)
    await anext(made)
    stream.push(HIDDENS)
    return asyncio.ensure_future(anext(made))


def test_a_lone_stream_rests_behind_its_first_units(speech_decoder: EngineThread) -> None:
    async def speak() -> None:
        second = await after_the_first(speech_decoder.open(attempt(REQUEST)))
        assert not (await asyncio.wait([second], timeout=A_WHILE))[0]
        speech_decoder.open(attempt(REQUEST))  # who comes now does not wait for that
        await second

    asyncio.run(speak())


def test_who_comes_after_a_stream_that_rested_does_not_rest_with_it(speech_decoder: EngineThread) -> None:
    async def speak() -> None:
        resting = speech_decoder.open(attempt(REQUEST))
        (await after_the_first(resting)).cancel()
        resting.close()
        coming = speech_decoder.open(attempt(REQUEST))
        coming.push(HIDDENS)
        await anext(aiter(coming))

    asyncio.run(speak())


def test_a_stream_in_company_does_not_rest(speech_decoder: EngineThread) -> None:
    async def speak() -> None:
        speech_decoder.open(attempt(REQUEST))
        await (await after_the_first(speech_decoder.open(attempt(REQUEST))))

    asyncio.run(speak())


def test_a_stream_that_goes_on_with_what_is_heard_does_not_rest(speech_decoder: EngineThread) -> None:
    async def speak() -> None:
        await (await after_the_first(speech_decoder.open(attempt(REQUEST, SOUNDING))))

    asyncio.run(speak())


def test_it_works_on_after_the_rest(monkeypatch: pytest.MonkeyPatch, speech_decoder: EngineThread) -> None:
    monkeypatch.setattr(engine_thread, "_GIVE_WAY_SECONDS", A_WHILE)

    async def speak() -> None:
        await (await after_the_first(speech_decoder.open(attempt(REQUEST))))

    asyncio.run(speak())
