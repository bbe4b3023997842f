"""Replies whose stages are lost: what the client gets does not show it, and one that kills its stages fails."""

from collections.abc import Callable
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
    OutputFormat,
    ReplyRequest,
    Sampling,
    StageMessage,
)
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import Message, Text
from serve_app.errors import StageLost
from serve_app.gateway import resume
from serve_app.gateway.reply import Reply
from serve_app.stages.engine_thread import EngineThread
from tests.fakes import (
    POISON,
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

losses_anywhere = st.lists(st.tuples(st.sampled_from(OPENS2S.names), st.integers(0, 12)), max_size=2)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.0,))


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
    audio=OutputFormat(samples="int16"),
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


def test_a_request_that_breaks_every_engine_fails_after_the_third() -> None:
    backend = fake_backend()
    threads = renewed(backend, "thinker", lambda: FakeThinker(1))
    error = error_of(backend, reply_request(f"a {POISON}", speak=False))
    assert (error.status, error.code) == (500, "reply_failed")
    assert 3 <= len(threads) <= 4, "the first made progress"
    for thread in threads:
        thread.stop()


@pytest.mark.parametrize("stage", OPENS2S.names)
def test_a_request_during_which_processes_die_fails_after_the_third(stage: str) -> None:
    backend = fake_backend([(stage, 0)] * 9)
    error = error_of(backend, reply_request())
    assert (error.status, error.code) == (500, "reply_failed")
    deaths = len(backend.clients[stage].connections)
    assert deaths == 3 or (deaths == 4 and stage != "thinker"), "text next to the first may be progress"


def test_as_many_processes_may_die_as_there_is_progress_between() -> None:
    backend = fake_backend([("thinker", 1)] * 5)
    messages = messages_of(backend, reply_request("word " * 12, speak=False))
    assert text_of(messages) == whole_reply(reply_request("word " * 12))[0]


class Unreachable(LocalConnection):
    """The stage is lost before it accepts anything."""

    async def accepted(self) -> None:
        raise StageLost(self.stage, "could not reserve a connection")


def test_a_stage_that_stays_unreachable_is_an_error_after_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
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
