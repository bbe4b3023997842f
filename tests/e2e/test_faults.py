"""Processes that die under replies: clients notice nothing, and nothing is leaked."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from opens2s_core.inference.family import OPENS2S
from serve_app.stages.stage import StageState
from tests.e2e.replicas import kill, processes, wait_until
from tests.e2e.reply_reader import ReplyReader, assert_same, body
from tests.e2e.small_service import CAPACITY

pytestmark = pytest.mark.ray

STAGES = OPENS2S.names


def nothing_held() -> bool:
    """Whether every stage has a replica, and none of them holds anything."""
    replicas: list[StageState] = []
    for stage in STAGES:
        try:
            replicas += serve.get_deployment_handle(stage, "opens2s").broadcast("state").results(timeout_s=30)
        except (RayError, RayServeException):
            return False  # it is being replaced
    return len(replicas) == len(STAGES) and not any(replica.slots or replica.connections for replica in replicas)


def wait_for_all(served: str) -> None:
    wait_until("all stages", lambda: httpx.get(f"{served}/ready", timeout=30).status_code == 200)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("chunks", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_a_stage_that_is_killed_does_not_show_in_the_reply(served: str, stage: str, chunks: int) -> None:
    wait_for_all(served)
    request = body(1, tokens=16)
    undisturbed = ReplyReader(served, request).read()
    assert undisturbed.chunks > 3
    reply = ReplyReader(served, request)
    reply.read_first_text() if chunks == 0 else reply.read(chunks)
    kill(stage)
    assert_same(reply.read(), undisturbed)
    wait_until("free slots", nothing_held)


def test_a_stage_that_is_killed_with_all_slots_in_use_does_not_show_in_the_replies(served: str) -> None:
    wait_for_all(served)

    def read(seed: int) -> ReplyReader:
        return ReplyReader(served, body(seed)).read()

    def read_with_a_loss(seed: int) -> ReplyReader:
        reply = ReplyReader(served, body(seed)).read(1)
        if seed == 0:
            kill("speech_decoder")
        return reply.read()

    seeds = range(CAPACITY)
    with ThreadPoolExecutor(CAPACITY) as pool:
        undisturbed = list(pool.map(read, seeds))
        replies = list(pool.map(read_with_a_loss, seeds))
    for ours, theirs in zip(replies, undisturbed, strict=True):
        assert_same(ours, theirs)
    wait_until("free slots", nothing_held)


def test_a_reply_that_has_not_started_waits_for_the_replacement(served: str) -> None:
    wait_for_all(served)
    kill("thinker")
    assert ReplyReader(served, body(2, tokens=4)).read().done


def test_readiness_follows_a_stage_that_is_killed(served: str) -> None:
    wait_for_all(served)
    kill("token2wav")
    answer = httpx.get(f"{served}/ready", timeout=30)
    assert answer.status_code == 503
    assert "token2wav" in answer.json()["error"]["message"]
    assert httpx.get(f"{served}/health").status_code == 200
    wait_for_all(served)


def test_the_death_of_the_gateway_is_an_error_and_leaks_nothing(served: str) -> None:
    wait_for_all(served)
    replies = [ReplyReader(served, body(1, tokens=2000)).read(1) for _ in range(CAPACITY)]
    kill("ingress")
    killed = time.monotonic()
    wait_until("free slots", nothing_held)
    assert time.monotonic() - killed < 5  # the streams break at once; the rest is polling
    for reply in replies:
        with pytest.raises(httpx.HTTPError):
            reply.read()
        assert not reply.done
    wait_until("the next gateway", lambda: processes("ingress") != [])
    wait_for_all(served)
    assert ReplyReader(served, body(3, tokens=4)).read().done


def test_a_client_that_does_not_read_delays_no_other(served: str) -> None:
    wait_for_all(served)
    slow = ReplyReader(served, body(1))
    undisturbed = ReplyReader(served, body(1)).read()
    for seed in range(3):
        assert ReplyReader(served, body(seed, tokens=4)).read().done
    assert_same(slow.read(), undisturbed)


def test_clients_that_leave_at_any_point_leak_nothing(served: str) -> None:
    wait_for_all(served)
    for chunks in (0, 1, 2):
        replies = [ReplyReader(served, body(seed, tokens=2000)) for seed in range(CAPACITY)]
        for reply in replies:
            reply.read(chunks) if chunks else reply.read_first_text()
            reply.close()
        wait_until("free slots", nothing_held, seconds=5)


def test_invalid_requests_after_a_replacement_do_not_block_it(served: str) -> None:
    wait_for_all(served)
    kill("thinker")
    wait_for_all(served)

    def ask(_: int) -> int:
        return httpx.post(f"{served}/v1/chat/completions", json={}, timeout=30).status_code

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [400] * 12
    wait_for_all(served)
    assert ReplyReader(served, body(4, tokens=4)).read().done
    wait_until("free slots", nothing_held)


@contextmanager
def hanging(stage: str) -> Iterator[None]:
    stopped = processes(stage)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.Error):
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_only_replica_of_a_stage_hangs(served: str, stage: str) -> None:
    wait_for_all(served)
    undisturbed = ReplyReader(served, body(1)).read()
    reply = ReplyReader(served, body(1)).read_first_text()
    with hanging(stage):
        assert_same(reply.read(), undisturbed)
    wait_until("free slots", nothing_held)


def test_a_replica_that_hangs_while_nobody_is_connected_is_replaced(served: str) -> None:
    wait_for_all(served)
    with hanging("thinker"):
        assert ReplyReader(served, body(2, tokens=4)).read().done
    wait_until("free slots", nothing_held)
