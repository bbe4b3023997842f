"""One reply on its way to its client: resumed, counted and logged. What the client gets does not show what was lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    ReplyRequest,
    Sampling,
    SoundFormat,
    SpeechFinish,
    StageMessage,
    TextDelta,
)
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import Message, Text
from serve_app.config import Pacing
from serve_app.errors import ApiError, StageLost
from serve_app.gateway import resume
from serve_app.gateway.reply import Reply, ReplyContext
from serve_app.observability.metrics import GatewayMetrics
from serve_app.stages.engine_thread import EngineThread
from serve_app.stages.messages import StageOutput
from tests.fakes import (
    GROUP,
    POISON,
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

RATE = 22_050
UNITS_PER_WORD = 2 * GROUP
Loss = tuple[str, int]
losses_anywhere = st.lists(st.tuples(st.sampled_from(OPENS2S.names), st.integers(0, 12)), max_size=2)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))


def reply_to(backend: LocalBackend, *requests: ReplyRequest, **context: Any) -> Reply:
    common: dict[str, Any] = {
        "id": "reply",
        "request_id": "request",
        "sample_rate": RATE,
        "units_per_second": 12.5,
        "played": False,
    }
    return Reply(requests, ReplyContext(stages=backend.stages, metrics=backend.metrics, **common | context))


async def collect(reply: Reply) -> list[StageMessage]:
    """All messages; closes the reply."""
    try:
        await reply.start()
        return [message async for message in reply]
    finally:
        await reply.aclose()


def run_with(backend: LocalBackend, test: Callable[[LocalBackend], Awaitable[Any]]) -> Any:
    """The result of ``test``; in the end every slot is free, and no reply is under way."""

    async def run() -> Any:
        async with asyncio.timeout(30):
            result = await test(backend)
            await backend.free()
            assert backend.metrics.under_way == 0
            return result

    try:
        return asyncio.run(run())
    finally:
        backend.stop()


def fake_backend(losses: Sequence[Loss] = (), **options: Any) -> LocalBackend:
    return LocalBackend([FakeThinker(4), FakeSpeechDecoder(4), FakeToken2Wav(4)], losses, **options)


def messages_of(backend: LocalBackend, *requests: ReplyRequest, **context: Any) -> list[StageMessage]:
    return run_with(backend, lambda backend: collect(reply_to(backend, *requests, **context)))


def text_of(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def samples_of(messages: Sequence[StageMessage]) -> np.ndarray:
    return np.concatenate([message.samples for message in messages if isinstance(message, AudioChunk)])


@given(losses=losses_anywhere, speak=st.booleans(), coalesce_seconds=st.sampled_from([0.0, 0.025]))
@settings(max_examples=40)
def test_stages_lost_anywhere_leave_no_trace_in_a_reply(
    losses: list[Loss], speak: bool, coalesce_seconds: float
) -> None:
    backend = fake_backend(losses, coalesce_seconds=coalesce_seconds)
    messages = messages_of(backend, reply_request(speak=speak))
    text, samples = whole_reply(reply_request())
    assert text_of(messages) == text
    assert sum(isinstance(message, Finish) for message in messages) == 1
    if speak:
        np.testing.assert_array_equal(samples_of(messages), samples)
        assert [message.final for message in messages if isinstance(message, AudioChunk)][-1]
    for client in backend.clients.values():
        ids = [connection.request.id for connection in client.connections if connection.request is not None]
        assert len(set(ids)) == len(ids), "each attempt has a name of its own"


@pytest.fixture(scope="module")
def bundle_engines(tiny_bundle: Path) -> list[Any]:
    return [build_engine(stage, tiny_bundle, capacity=2) for stage in OPENS2S.names]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(tiny_bundle: Path) -> list[StageMessage]:
    return list(Pipeline.load(tiny_bundle).reply(REAL))


REAL = ReplyRequest(
    messages=(Message("user", (Text("tell me something"),)),),
    text=Sampling(max_tokens=14),
    units=Sampling(temperature=1.0, max_tokens=80, seed=3),
    audio=SoundFormat(samples="int16"),
    seed=3,
)


@pytest.mark.parametrize("lost", OPENS2S.names)
@pytest.mark.parametrize("after", [0, 2])
def test_a_reply_of_real_engines_is_the_undisturbed_one(
    bundle_engines: list[Any], undisturbed: list[StageMessage], lost: str, after: int
) -> None:
    backend = LocalBackend(bundle_engines, [(lost, after), (lost, 0)])
    reply: Reply | None = None

    async def ask(backend: LocalBackend) -> list[StageMessage]:
        nonlocal reply
        reply = reply_to(backend, REAL)
        return await collect(reply)

    messages = run_with(backend, ask)
    assert reply is not None
    assert reply.stats.resumes == 2
    assert text_of(messages) == text_of(undisturbed)
    ours, theirs = samples_of(messages), samples_of(undisturbed)
    assert len(ours) == len(theirs) > RATE
    assert np.abs(ours.astype(int) - theirs).max() <= 33  # 1e-3 of full scale
    assert [m for m in messages if isinstance(m, Finish)] == [m for m in undisturbed if isinstance(m, Finish)]


def error_of(backend: LocalBackend, request: ReplyRequest, **context: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        messages_of(backend, request, **context)
    return raised.value


def renewed(backend: LocalBackend, stage: str, engine: Callable[[], Any]) -> list[EngineThread]:
    """From now on each connection to ``stage`` is to a replica with a new engine. Returns them; to be stopped."""
    client, threads = backend.clients[stage], []
    spec = next(spec for spec in OPENS2S.stages if spec.name == stage)

    class Renewed(LocalConnection):
        def __init__(self, stage: str, _: EngineThread, lost_after: int | None) -> None:
            threads.append(EngineThread(engine(), spec))
            super().__init__(stage, threads[-1], lost_after)

    client.kind = Renewed
    return threads


def test_a_request_that_kills_engine_after_engine_is_given_up_behind_the_third() -> None:
    backend = fake_backend()
    threads = renewed(backend, "thinker", lambda: FakeThinker(1))
    error = error_of(backend, reply_request(f"a {POISON}"))
    assert (error.status, error.code) == (500, "reply_failed")
    assert 3 <= len(threads) <= 4, "the first made progress"
    for thread in threads:
        thread.stop()


@pytest.mark.parametrize("stage", OPENS2S.names)
def test_a_request_under_which_processes_die_is_given_up_behind_the_third(stage: str) -> None:
    backend = fake_backend([(stage, 0)] * 9)
    error = error_of(backend, reply_request())
    assert (error.status, error.code) == (500, "reply_failed")
    deaths = len(backend.clients[stage].connections)
    assert deaths == 3 or (deaths == 4 and stage != "thinker"), "text beside the first may be progress"


def test_as_many_processes_may_die_as_there_is_progress_between() -> None:
    backend = fake_backend([("thinker", 1)] * 5)
    messages = messages_of(backend, reply_request("word " * 12, speak=False))
    assert text_of(messages) == whole_reply(reply_request("word " * 12))[0]


class Unreachable(LocalConnection):
    """The stage is lost before it accepts anything."""

    async def accepted(self) -> None:
        raise StageLost(self.stage, "no place")


def test_a_stage_that_stays_away_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(resume, "_PAUSES", (0.02,))
    backend = fake_backend()
    backend.clients["thinker"].kind = Unreachable
    error = error_of(backend, reply_request())
    assert (error.status, error.code) == (503, "stage_failed")
    assert int(error.headers["Retry-After"]) > 0
    assert len(backend.clients["thinker"].connections) > 3


def test_a_full_stage_is_an_error_at_once_where_nothing_was_started() -> None:
    backend = LocalBackend([FakeThinker(1), FakeSpeechDecoder(1), FakeToken2Wav(0)])
    error = error_of(backend, reply_request())
    assert (error.status, error.code) == (503, "overloaded")
    assert len(backend.clients["token2wav"].connections) == 1


def test_a_full_stage_is_waited_for_where_the_client_has_something() -> None:
    backend = fake_backend([("token2wav", 1)])

    class FullForAWhile(LocalConnection):
        def __init__(self, stage: str, engine: EngineThread, lost_after: int | None) -> None:
            before = len(backend.clients["speech_decoder"].connections)
            super().__init__(stage, full if before in (1, 2) else engine, lost_after)

    full = EngineThread(FakeSpeechDecoder(0), OPENS2S.stages[1])
    backend.clients["speech_decoder"].kind = FullForAWhile
    messages = messages_of(backend, reply_request())
    full.stop()
    assert text_of(messages) == whole_reply(reply_request())[0]
    assert len(backend.clients["speech_decoder"].connections) == 4


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
    parts = [replace(reply_request(), messages=(), say=text) for text in ("one two.", "three.", "four five six.")]
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
        reply = reply_to(backend, reply_request("word " * 9), replace(reply_request(), say="short"))
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
