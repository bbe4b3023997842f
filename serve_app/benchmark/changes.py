"""Load that changes: clients that come and leave, and replicas that follow the load."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping

from opens2s_core.benchmark.report import Bound, Measurement
from serve_app.benchmark.clients import LoadResult
from serve_app.benchmark.comparison import Comparison, measured_row, milliseconds, single_row
from serve_app.benchmark.load import burst, churn, ramp
from serve_app.benchmark.server import Server

_RAMP = ((10.0, 1), (30.0, 5), (40.0, 1))
"""Seconds, and how many clients."""
_RAMP_STAGES = {"capacity": 2, "max_replicas": 2, "upscale_delay": 1.0, "downscale_delay": 8.0}
_SETTLE_SECONDS = 5.0
_WATCH_SECONDS = 0.5
_NONE = Bound("at most", 0)


def churn_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Many clients that join, and wait for a whole reply or leave; and what has leaked afterwards."""
    benchmark = comparison.benchmark
    bodies = comparison.workload.take(64)

    def measure(server: Server) -> tuple[LoadResult, dict[str, float]]:
        # Warm-up: memory that is allocated once.
        comparison.run(server, churn, bodies, benchmark.clients, benchmark.churn / 4, 0)
        time.sleep(_SETTLE_SECONDS)
        before, memory = server.state(), server.memory()
        result = comparison.run(server, churn, bodies, benchmark.clients, benchmark.churn, 1)
        time.sleep(_SETTLE_SECONDS)
        after = server.state()
        tasks = after.pop("tasks", 0) - before["tasks"]
        left = {"leaked": after.total(), "tasks": max(0, tasks), "memory": server.memory() / memory}
        again = comparison.run(server, burst, bodies[:1]).replies
        return result, left | {"after": sum(reply.complete for reply in again)}

    with comparison.serving():
        measured = comparison.each(measure)
    results = [result.replies for result, _ in measured]
    what = f"churn of {benchmark.clients} clients for {benchmark.churn:g} s"
    yield single_row(f"{what}: requests", "replies", list(map(len, results)))
    complete = [sum(reply.complete for reply in each) for each in results]
    yield single_row(f"{what}: replies complete", "replies", complete, better="higher")
    refused = [[reply.seconds for reply in each if reply.refused] for each in results]
    yield single_row(f"{what}: refusals", "replies", list(map(len, refused)))
    times = [milliseconds(each) for each in refused]
    yield measured_row(f"{what}: time to refusal", "ms", times, better="lower")
    lost = [sum(reply.lost for reply in each) for each in results]
    yield single_row(f"{what}: replies lost", "replies", lost, better="lower", bound=_NONE)
    for key, name, unit, bound in (
        ("leaked", "leaked slots and connections", "slots", _NONE),
        ("tasks", "leaked tasks", "tasks", _NONE),
        ("memory", "memory after to before", "times", Bound("at most", 1.05)),
    ):
        yield single_row(f"{what}: {name}", unit, [left[key] for _, left in measured], better="lower", bound=bound)
    after, bound = [left["after"] for _, left in measured], Bound("at least", 1)
    yield single_row(f"{what}: one reply complete afterwards", "replies", after, better="higher", bound=bound)


def ramp_rows(comparison: Comparison) -> Iterator[Measurement]:
    """From one client to more than a replica has slots for, and back."""
    bodies = comparison.workload.take(64)

    def measure(server: Server) -> tuple[LoadResult, "_Watch"]:
        comparison.run(server, burst, bodies[:1])  # two would start a second replica
        watch = _Watch(server)
        result = comparison.run(server, ramp, bodies, _RAMP)
        watch.end()
        return result, watch

    with comparison.serving(**_RAMP_STAGES):
        measured = comparison.each(measure)
    watches = [watch for _, watch in measured]
    for stage in watches[0].counts[0][1]:
        numbers = [[count[stage] for _, count in watch.counts] for watch in watches]
        yield single_row(f"ramp: most replicas of {stage}", "replicas", list(map(max, numbers)))
        name = f"ramp: time from the load to the second replica of {stage}"
        yield single_row(name, "s", [watch.second_replica(stage) for watch in watches])
        changes = [sum(a != b for a, b in itertools.pairwise(each)) for each in numbers]
        name, bound = f"ramp: changes of the replicas of {stage}", Bound("at most", 2)
        yield single_row(name, "times", changes, better="lower", bound=bound)
    replies = [result.replies for result, _ in measured]
    complete = [sum(reply.complete for reply in each) for each in replies]
    yield single_row("ramp: replies complete", "replies", complete, better="higher")
    lost = [sum(reply.lost or reply.refused for reply in each) for each in replies]
    yield single_row("ramp: replies lost or refused", "replies", lost, better="lower", bound=_NONE)


class _Watch:
    """Counts replicas in the background until it ends: ``counts`` holds seconds since its start and the replicas."""

    def __init__(self, server: Server) -> None:
        self.counts: list[tuple[float, Mapping[str, int]]] = []
        self._server = server
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def second_replica(self, stage: str) -> float | None:
        """Seconds from the rise of the load."""
        rise = _RAMP[0][0]
        return next((at - rise for at, replicas in self.counts if replicas[stage] > 1), None)

    def _count(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            self.counts.append((time.monotonic() - self._began, self._server.replicas()))
