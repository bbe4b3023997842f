"""What callers notice of processes that die under them, and what is left behind: nothing, and nothing."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import psutil
import pytest
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from opens2s_core.inference.family import OPENS2S
from serve_app.stages.stage import StageState
from tests.e2e.listener import Listener, assert_same, body
from tests.e2e.replicas import kill, processes, wait_until
from tests.e2e.small_service import CAPACITY

pytestmark = pytest.mark.ray

STAGES = OPENS2S.names


def nothing_left() -> bool:
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
@pytest.mark.parametrize("parts", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_a_stage_that_is_killed_is_not_heard(served: str, stage: str, parts: int) -> None:
    wait_for_all(served)
    undisturbed = Listener(served, body(1)).hear()
    assert undisturbed.parts > 3
    listener = Listener(served, body(1))
    listener.begin() if parts == 0 else listener.hear(parts)
    kill(stage)
    assert_same(listener.hear(), undisturbed)
    wait_until("free slots", nothing_left)


def test_a_stage_that_is_killed_with_all_places_taken_is_not_heard(served: str) -> None:
    wait_for_all(served)

    def hear(seed: int) -> Listener:
        return Listener(served, body(seed)).hear()

    def hear_with_a_break(seed: int) -> Listener:
        listener = Listener(served, body(seed)).hear(1)
        if seed == 0:
            kill("speech_decoder")
        return listener.hear()

    seeds = range(CAPACITY)
    with ThreadPoolExecutor(CAPACITY) as pool:
        undisturbed = list(pool.map(hear, seeds))
        heard = list(pool.map(hear_with_a_break, seeds))
    for ours, theirs in zip(heard, undisturbed, strict=True):
        assert_same(ours, theirs)
    wait_until("free slots", nothing_left)


def test_whoever_has_not_begun_waits_for_the_replacement(served: str) -> None:
    wait_for_all(served)
    kill("thinker")
    assert Listener(served, body(2, tokens=4)).hear().done


def test_readiness_follows_a_stage_that_is_killed(served: str) -> None:
    wait_for_all(served)
    kill("token2wav")
    answer = httpx.get(f"{served}/ready", timeout=30)
    assert answer.status_code == 503
    assert "token2wav" in answer.json()["error"]["message"]
    assert httpx.get(f"{served}/health").status_code == 200
    wait_for_all(served)


def test_the_death_of_the_ingress_is_an_error_and_leaves_nothing_behind(served: str) -> None:
    wait_for_all(served)
    listeners = [Listener(served, body(1, tokens=2000)).hear(1) for _ in range(CAPACITY)]
    kill("ingress")
    killed = time.monotonic()
    wait_until("free slots", nothing_left)
    assert time.monotonic() - killed < 5  # two seconds, and what looking takes
    for listener in listeners:
        with pytest.raises(httpx.HTTPError):
            listener.hear()
        assert not listener.done
    wait_until("the next ingress", lambda: processes("ingress") != [])
    wait_for_all(served)
    assert Listener(served, body(3, tokens=4)).hear().done


def test_a_listener_who_does_not_read_holds_nobody_back(served: str) -> None:
    wait_for_all(served)
    slow = Listener(served, body(1))
    undisturbed = Listener(served, body(1)).hear()
    for seed in range(3):
        assert Listener(served, body(seed, tokens=4)).hear().done
    assert_same(slow.hear(), undisturbed)


def test_listeners_who_leave_at_any_point_leave_nothing_behind(served: str) -> None:
    wait_for_all(served)
    for parts in (0, 1, 2):
        listeners = [Listener(served, body(seed, tokens=2000)) for seed in range(CAPACITY)]
        for listener in listeners:
            listener.hear(parts) if parts else listener.begin()
            listener.close()
        wait_until("free slots", nothing_left, seconds=5)


def test_bad_requests_behind_a_replacement_do_not_wedge_it(served: str) -> None:
    wait_for_all(served)
    kill("thinker")
    wait_for_all(served)

    def ask(_: int) -> int:
        return httpx.post(f"{served}/v1/chat/completions", json={}, timeout=30).status_code

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [400] * 12
    wait_for_all(served)
    assert Listener(served, body(4, tokens=4)).hear().done
    wait_until("free slots", nothing_left)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_only_replica_of_a_stage_hangs(served: str, stage: str) -> None:
    wait_for_all(served)
    undisturbed = Listener(served, body(1)).hear()
    listener = Listener(served, body(1)).begin()
    stopped = processes(stage)
    for process in stopped:
        process.suspend()
    try:
        assert_same(listener.hear(), undisturbed)
    finally:
        for process in stopped:
            with suppress(psutil.Error):
                process.kill()
    wait_until("free slots", nothing_left)
