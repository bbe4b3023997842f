"""One reply on its way to its client: left, cut, counted and logged."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    Sampling,
    SpeechFinish,
    StageMessage,
)
from serve_app.config import Pacing
from serve_app.errors import ApiError, StageLost
from serve_app.gateway import resume
from serve_app.observability.metrics import GatewayMetrics
from serve_app.stages.messages import StageOutput
from tests.fakes import (
    REFUSED,
    SAMPLES_PER_UNIT,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    LocalBackend,
    LocalConnection,
    reply_request,
    whole_reply,
)
from tests.serve_app.gateway.replies import (
    RATE,
    UNITS_PER_WORD,
    Loss,
    collect,
    error_of,
    fake_backend,
    messages_of,
    reply_to,
    run_with,
    samples_of,
    text_of,
)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))


def test_a_refused_request_names_the_field() -> None:
    error = error_of(fake_backend(), reply_request(REFUSED), field="input")
    assert (error.status, error.param, error.message) == (400, "input", "the prompt is too long")


def test_what_nobody_expected_is_an_internal_error_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(LocalConnection):
        async def accepted(self) -> None:
            raise ZeroDivisionError("a secret of our insides")

    backend = fake_backend()
    backend.clients["thinker"].kind = Wrong
    error = error_of(backend, reply_request())
    assert (error.status, error.code, error.message) == (500, "internal_error", "internal error")
    assert "ZeroDivisionError" in caplog.text


def test_the_conversation_is_sent_to_the_stage_that_reads_it_alone() -> None:
    backend = fake_backend()
    messages_of(backend, reply_request())
    sent = {name: client.connections[0].request for name, client in backend.clients.items()}
    assert {name: request.request.messages for name, request in sent.items() if request is not None} == {
        "thinker": reply_request().messages,
        "speech_decoder": (),
        "token2wav": (),
    }


@pytest.mark.parametrize("messages", [0, 1, 3, 8])
@pytest.mark.parametrize("lost", [[], [("speech_decoder", 1)] * 2])
def test_leaving_at_any_point_frees_every_slot(messages: int, lost: list[Loss]) -> None:
    async def leave(backend: LocalBackend) -> None:
        reply = reply_to(backend, reply_request("word " * 100_000))
        if messages:
            await reply.start()
            received = aiter(reply)
            for _ in range(messages):
                await anext(received)
        await reply.aclose()
        await reply.aclose()

    run_with(fake_backend(lost), leave)


def test_an_error_on_the_way_out_does_not_start_another_attempt() -> None:
    class BreaksWhenLeft(LocalConnection):
        async def __aiter__(self) -> AsyncIterator[StageOutput]:
            try:
                async for output in super().__aiter__():
                    yield output
            except asyncio.CancelledError:
                raise StageLost(self.stage, "the connection broke") from None

    async def leave(backend: LocalBackend) -> None:
        for client in backend.clients.values():
            client.kind = BreaksWhenLeft
        reply = reply_to(backend, reply_request("word " * 100_000))
        await reply.start()
        await asyncio.wait_for(reply.aclose(), 2)
        assert [len(client.connections) for client in backend.clients.values()] == [1, 1, 1]

    run_with(fake_backend(), leave)


def test_a_reply_that_is_cut_off_never_just_ends() -> None:
    async def cut_off(backend: LocalBackend) -> None:
        reply = reply_to(backend, reply_request("word " * 100_000))
        await reply.start()
        reply._task.cancel()
        with pytest.raises(ApiError, match="internal error"):
            async for _ in reply:
                pass
        await reply.aclose()

    run_with(fake_backend(), cut_off)


def test_a_reply_whose_closing_is_cancelled_is_counted_as_ended() -> None:
    async def leave(backend: LocalBackend) -> None:
        reply = reply_to(backend, reply_request("word " * 100_000))
        await reply.start()
        closing = asyncio.create_task(reply.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()

    run_with(fake_backend(), leave)


def test_replies_at_once_do_not_mix() -> None:
    async def ask(backend: LocalBackend) -> None:
        requests = [reply_request(f"number {number}") for number in range(4)]
        for messages, request in zip(
            await asyncio.gather(*(collect(reply_to(backend, request)) for request in requests)), requests, strict=True
        ):
            assert text_of(messages) == whole_reply(request)[0]
            np.testing.assert_array_equal(samples_of(messages), whole_reply(request)[1])

    run_with(fake_backend([("token2wav", 2)]), ask)


def test_a_reading_in_several_parts_is_one_reply() -> None:
    parts = [
        replace(reply_request(), messages=(), reply_text=text) for text in ("one two.", "three.", "four five six.")
    ]
    kept: list[str] = []

    async def ask(backend: LocalBackend) -> list[StageMessage]:
        reply = reply_to(backend, *parts, on_complete=kept.append)
        finishes: list[Finish | None] = []
        messages = []
        await reply.start()
        async for message in reply:
            messages.append(message)
            finishes.append(reply.finish)
        await reply.aclose()
        assert reply.finish == Finish("stop", 0, 6)
        assert finishes[0] is None
        return messages

    messages = run_with(fake_backend([("token2wav", 1), ("thinker", 0)]), ask)
    assert text_of(messages) == "one two. three. four five six. "
    np.testing.assert_array_equal(samples_of(messages), np.concatenate([whole_reply(part)[1] for part in parts]))
    assert [m.final for m in messages if isinstance(m, AudioChunk)].count(True) == 3
    assert kept == [text_of(messages)]


@pytest.mark.parametrize("finish", ["length", "loop"])
def test_speech_that_was_cut_says_so_and_is_counted(finish: SpeechFinish, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(GatewayMetrics, "cut", lambda self, reason: counted.append(reason))
    decoder = FakeSpeechDecoder(1, cut_after=2 * UNITS_PER_WORD, finish=finish)
    backend = LocalBackend([FakeThinker(1), decoder, FakeToken2Wav(1)])

    async def ask(backend: LocalBackend) -> None:
        reply = reply_to(backend, reply_request("word " * 9), replace(reply_request(), reply_text="short"))
        messages = await collect(reply)
        assert text_of(messages) == whole_reply(reply_request("word " * 9))[0] + "short "
        assert reply.finish == Finish("length", 2, 12)
        assert len(samples_of(messages)) == 3 * UNITS_PER_WORD * SAMPLES_PER_UNIT

    run_with(backend, ask)
    assert counted == [finish]


def test_text_that_was_cut_says_so() -> None:
    async def ask(backend: LocalBackend) -> None:
        reply = reply_to(backend, replace(reply_request(), text=Sampling(max_tokens=2)))
        await collect(reply)
        assert reply.finish == Finish("length", 1, 2)

    run_with(fake_backend(), ask)


def test_a_transcript_is_kept_of_a_whole_reply_alone() -> None:
    kept: list[str] = []
    messages_of(fake_backend(), reply_request(), on_complete=kept.append)
    assert kept == [whole_reply(reply_request())[0]]
    error_of(fake_backend([("thinker", 0)] * 3), reply_request(), on_complete=kept.append)
    assert len(kept) == 1


def test_a_played_reply_gives_way_until_another_has_audio() -> None:
    async def ask(backend: LocalBackend) -> None:
        first = reply_to(backend, reply_request("word " * 40), played=True)
        await first.start()
        messages = aiter(first)
        while first.stats.first_audio is None:
            await anext(messages)
        assert backend.stages.pacer.allows(2.0)
        second = reply_to(backend, reply_request(), played=True)
        written = reply_to(backend, reply_request(speak=False), played=True)
        await asyncio.sleep(0)
        assert not backend.stages.pacer.allows(2.0)
        await collect(second)
        await collect(written)
        assert backend.stages.pacer.allows(2.0)
        third = reply_to(backend, reply_request("word " * 40), played=True)
        await asyncio.sleep(0)
        await third.aclose()  # without any audio
        assert backend.stages.pacer.allows(2.0)
        await first.aclose()

    run_with(fake_backend(pacing=Pacing(busy_lead_seconds=1)), ask)


def lines(caplog: pytest.LogCaptureFixture) -> Iterator[dict[str, Any]]:
    return (json.loads(record.message) for record in caplog.records if '"event": "reply"' in record.message)


@pytest.mark.parametrize("log_transcript", [False, True])
def test_each_reply_is_one_line_of_numbers_in_the_log(log_transcript: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ray.serve"):
        messages_of(fake_backend([("thinker", 1)]), reply_request(), log_transcript=log_transcript)
    [line] = lines(caplog)
    assert (line["request_id"], line["outcome"], line["finish_reason"]) == ("request", "completed", "stop")
    assert (line["resumes"], line["prompt_tokens"], line["completion_tokens"]) == (1, 1, 5)
    assert line["audio_s"] == pytest.approx(5 * UNITS_PER_WORD * SAMPLES_PER_UNIT / RATE, abs=1e-3)
    assert 0 <= line["first_text_s"] <= line["whole_s"]
    assert line.get("transcript") == (whole_reply(reply_request())[0] if log_transcript else None)


def test_a_reply_that_was_left_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async def leave(backend: LocalBackend) -> None:
        reply = reply_to(backend, reply_request("word " * 100_000))
        await reply.start()
        await reply.aclose()

    with caplog.at_level("INFO", "ray.serve"):
        run_with(fake_backend(), leave)
    [line] = lines(caplog)
    assert line["outcome"] == "aborted"
    assert "finish_reason" not in line
