"""Replicas that are added and removed do not show in replies."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve

from opens2s_core.inference.family import OPENS2S
from serve_app.app import build_app
from serve_app.config import ServeConfig, StageConfig
from tests.e2e.replicas import processes, wait_until
from tests.e2e.reply_reader import ReplyReader, assert_same, body
from tests.e2e.small_service import serve_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

APP = "pair"
STAGES = OPENS2S.names
SEEDS = range(6)


def deploy(config: ServeConfig) -> None:
    serve.run(build_app(config), name=APP, route_prefix=f"/{APP}")


@contextmanager
def deployed(config: ServeConfig, port: int) -> Iterator[str]:
    """Where it answers; beside any other application."""
    deploy(config)
    try:
        yield f"http://127.0.0.1:{port}/{APP}"
    finally:
        serve.delete(APP)


def in_pairs(bundle: Path) -> ServeConfig:
    """Two replicas of everything."""
    config = serve_config(bundle)
    config = with_stages(config, min_replicas=2, max_replicas=2)
    return replace(config, gateway=replace(config.gateway, replicas=2))


def with_stages(config: ServeConfig, **fields: Any) -> ServeConfig:
    """With these fields in every stage."""
    stages: dict[str, StageConfig] = {name: replace(stage, **fields) for name, stage in config.stages.items()}
    return replace(config, stages=stages)


@pytest.fixture(scope="module")
def pair(serve_port: int, tiny_bundle: Path) -> Iterator[str]:
    with deployed(in_pairs(tiny_bundle), serve_port) as address:
        yield address


def wait_for_pairs() -> None:
    wait_until("two replicas of each", lambda: all(len(processes(stage, APP)) == 2 for stage in STAGES))
    wait_until("their health", lambda: serve.status().applications[APP].status == "RUNNING")


def undisturbed(address: str) -> Sequence[ReplyReader]:
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        return list(pool.map(lambda seed: ReplyReader(address, body(seed)).read(), SEEDS))


def replies_during(address: str, stage: str, what: signal.Signals) -> Sequence[ReplyReader]:
    """Replies that have started when one of a stage's two replicas is sent a signal."""
    replies = [ReplyReader(address, body(seed)).read_first_text() for seed in SEEDS]
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        results = [pool.submit(reply.read) for reply in replies]
        os.kill(processes(stage, APP)[0].pid, what)
        return [one.result() for one in results]


@pytest.mark.parametrize("stage", STAGES)
def test_one_of_two_replicas_is_killed(pair: str, stage: str) -> None:
    wait_for_pairs()
    expected = undisturbed(pair)
    for ours, theirs in zip(replies_during(pair, stage, signal.SIGKILL), expected, strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("stage", ["thinker", "token2wav"])
def test_one_of_two_replicas_hangs(pair: str, stage: str) -> None:
    wait_for_pairs()
    expected = undisturbed(pair)
    stopped = processes(stage, APP)[0]
    began = time.monotonic()
    try:
        replies = replies_during(pair, stage, signal.SIGSTOP)
    finally:
        stopped.resume()  # Ray's own signals do not end it before
    assert time.monotonic() - began < 60
    for ours, theirs in zip(replies, expected, strict=True):
        assert_same(ours, theirs)


def test_all_replicas_are_replaced_under_load(pair: str, tiny_bundle: Path) -> None:
    wait_for_pairs()
    before = {process.pid for stage in STAGES for process in processes(stage, APP)}
    config = in_pairs(tiny_bundle)
    over = False

    def keep_asking(seed: int) -> int:
        replies = 0
        while not over:
            assert ReplyReader(pair, body(seed)).read().done
            replies += 1
        return replies

    with ThreadPoolExecutor(3) as pool:
        asking: list[Future[int]] = [pool.submit(keep_asking, seed) for seed in range(3)]
        try:
            time.sleep(2)
            thinker = replace(config.stages["thinker"], capacity=3)
            deploy(replace(config, stages={**config.stages, "thinker": thinker}, log_transcripts=True))
            wait_until("new replicas of the thinker", lambda: len(processes("thinker", APP)) == 2, seconds=120)
        finally:
            over = True
        assert all(one.result() > 0 for one in asking)
    after = {process.pid for process in processes("thinker", APP)}
    assert not after & before


def test_a_stage_scaled_to_zero_starts_for_a_reply(serve_port: int, tiny_bundle: Path) -> None:
    config = with_stages(serve_config(tiny_bundle), min_replicas=0, downscale_delay=2.0, upscale_delay=0.0)
    with deployed(config, serve_port) as address:
        for _ in range(2):
            wait_until("no replicas", lambda: not any(processes(stage, APP) for stage in STAGES), seconds=120)
            assert httpx.get(f"{address}/ready", timeout=30).status_code == 200
            assert ReplyReader(address, body(1)).read().done
