"""The only replica of a stage dies or hangs: how long its listener waits for audio, and when a new reply works."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import httpx
import psutil

from opens2s_core.benchmark.report import Bound, Measurement
from serve_app.benchmark.comparison import Comparison, single_row
from serve_app.benchmark.load import burst, retry
from serve_app.benchmark.server import Server

_RUNNING_SECONDS = 0.15
"""From a request to the failure: every stage still works on it."""
_RETRY_SECONDS = 0.25
_GIVE_UP_SECONDS = 60.0
_READY_SECONDS = 60.0


def crash_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Rows for SIGKILL, and the restart time of a bare replica that only imports torch."""
    yield from _failure_rows(comparison, signal.SIGKILL, "SIGKILL", Bound("at most", 6))
    with Server(replace(comparison.settings[0], bare=True)) as server:
        name = "SIGKILL of a bare replica that imports torch: time to its next answer"
        yield Measurement(name=name, value=_bare(server), unit="s")


def hang_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Rows for SIGSTOP."""
    yield from _failure_rows(comparison, signal.SIGSTOP, "SIGSTOP", Bound("at most", 8))


def _failure_rows(comparison: Comparison, number: signal.Signals, name: str, bound: Bound) -> Iterator[Measurement]:
    with comparison.serving():
        comparison.run_each(burst, comparison.workload.take(8))
        stages = list(comparison.servers[0].replicas())
        for stage in stages:

            def measure(server: Server, stage: str = stage) -> tuple[float | None, float | None]:
                return _fail(comparison, server, stage, number)

            measured = comparison.each(measure)
            gaps, news = ([each[part] for each in measured] for part in (0, 1))
            yield single_row(f"{name} of the {stage}: longest silence", "s", gaps, better="lower", bound=bound)
            yield single_row(f"{name} of the {stage}: time to a new reply", "s", news, better="lower", bound=bound)


def _fail(
    comparison: Comparison, server: Server, stage: str, number: signal.Signals
) -> tuple[float | None, float | None]:
    """The longest silence of the running reply, before or within its audio (None: it was not completed), and the time
    from the failure to the first audio of a new one (None: there was none in time)."""
    process = _only_process(server, stage)
    bodies = comparison.workload.take(9)
    running = comparison.start(server, burst, bodies[:1])
    time.sleep(_RUNNING_SECONDS)
    process.send_signal(number)
    failed = time.time()
    attempts = comparison.run(server, retry, bodies[1:], _RETRY_SECONDS, _GIVE_UP_SECONDS).replies
    [reply] = running().replies
    with suppress(psutil.NoSuchProcess):
        process.kill()  # one that hangs would stay
    new = attempts[-1]
    started = new.asked + new.first_audio - failed if new.complete and new.first_audio is not None else None
    silence = max(reply.first_audio, reply.longest_underrun) if reply.complete and reply.first_audio else None
    return silence, started


def _bare(server: Server) -> float:
    [process] = server.processes()
    process.kill()
    killed = time.monotonic()
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(server.url, timeout=5).status_code == 200:
                return time.monotonic() - killed
        time.sleep(0.05)


def _only_process(server: Server, stage: str) -> psutil.Process:
    """The process of the stage's only replica, once the server is ready and the replica before it has ended."""
    until = time.monotonic() + _READY_SECONDS
    while httpx.get(f"{server.url}/ready", timeout=30).status_code != 200 or len(server.processes(stage)) != 1:
        if time.monotonic() > until:
            raise RuntimeError(f"{server.url} has not one ready replica of {stage} within {_READY_SECONDS:g} s")
        time.sleep(0.5)
    return server.processes(stage)[0]
