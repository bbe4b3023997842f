"""Load that changes: replicas that follow it, and callers who come and go."""

import itertools
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import psutil

from opens2s_core.benchmark.report import Bound, Row
from serve_app.benchmark.clients import Body, Clients, come_and_go, ramp, together
from serve_app.benchmark.platform import Platform
from serve_app.config import STAGES, StageName

_RAMP = ((10.0, 1), (30.0, 5), (40.0, 1))
"""Seconds, and how many callers."""
_SETTLE_SECONDS = 5.0
_LONG_TOKENS = 128
_FULL_SECONDS = 16.0
_FILL_SECONDS = 4.0
_REFUSALS = 9


def ramp_rows(platform: Platform, clients: Clients, bodies: Sequence[Body]) -> Iterator[Row]:
    """From one caller to more than a replica has places for, and back."""
    began = time.monotonic()
    heard = clients.begin(ramp, bodies, _RAMP)
    watched = _Watch(platform)
    asked = heard()
    counts = watched.end()
    rise = began + _RAMP[0][0]
    for stage in STAGES:
        seen = [(at, replicas[stage]) for at, replicas in counts]
        numbers = [number for _, number in seen]
        up = next((at - rise for at, number in seen if number > 1), None)
        yield Row(name=f"ramp: most replicas of {stage}", value=max(numbers), unit="replicas")
        yield Row(name=f"ramp: second replica of {stage} behind the load", value=up, unit="s")
        turns = sum(a != b for a, b in itertools.pairwise(numbers))
        yield Row(name=f"ramp: changes of {stage}'s replicas", value=turns, unit="times", bound=Bound("at most", 2))
    lost = sum(reply.lost for reply in asked.replies)
    refused = sum(reply.status in (429, 503) for reply in asked.replies)
    yield Row(name="ramp: replies whole", value=sum(reply.whole for reply in asked.replies), unit="replies")
    yield Row(name="ramp: replies lost or refused", value=lost + refused, unit="replies", bound=Bound("at most", 0))


def refusal_rows(
    platform: Platform, clients: Clients, bodies: Sequence[Body], *, places: int, queue: int
) -> Iterator[Row]:
    """What one hears, and how soon, who comes where all places are taken and all places to wait in."""
    long = [{**body, "max_completion_tokens": _LONG_TOKENS} for body in bodies]
    full = clients.begin(together, [long[number % len(long)] for number in range(places + queue)], _FULL_SECONDS)
    time.sleep(_FILL_SECONDS)
    with Clients(platform.target) as others:
        refused = [others.run(together, bodies[:1]).replies[0] for _ in range(_REFUSALS)]
    full()
    told = [reply.took for reply in refused if reply.status == 503]
    what = f"{places} replies under way, {queue} waiting"
    yield Row(name=f"{what}: of {_REFUSALS} more are told to come later", value=len(told), unit="replies")
    yield Row(name=f"{what}: until that", value=_ms(told), unit="ms", bound=Bound("at most", 50))


def _ms(seconds: Sequence[float]) -> float | None:
    return 1e3 * statistics.median(seconds) if seconds else None


class _Watch:
    """Looks at how many replicas there are, until it ends."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._counts: list[tuple[float, Mapping[StageName, int]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> list[tuple[float, Mapping[StageName, int]]]:
        self._over.set()
        self._thread.join()
        return self._counts

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self._counts.append((time.monotonic(), self._platform.replicas()))


def churn_rows(
    platform: Platform, clients: Clients, bodies: Sequence[Body], count: int, seconds: float
) -> Iterator[Row]:
    """Many callers who come, hear or leave, for so long."""
    clients.run(come_and_go, bodies, count, seconds / 4, 0)  # what grows only once has grown by then
    time.sleep(_SETTLE_SECONDS)
    tasks = {stage: platform.state(stage).tasks for stage in STAGES}
    memory = _memory()
    asked = clients.run(come_and_go, bodies, count, seconds, 1)
    time.sleep(_SETTLE_SECONDS)
    states = {stage: platform.state(stage) for stage in STAGES}
    what = f"{count} clients who come and go for {seconds:g} s"
    replies = asked.replies
    yield Row(name=f"{what}: asked", value=len(replies), unit="replies")
    yield Row(name=f"{what}: heard to the end", value=sum(reply.whole for reply in replies), unit="replies")
    yield Row(name=f"{what}: told to come later", value=sum(reply.status == 503 for reply in replies), unit="replies")
    refusals = [reply.took for reply in replies if reply.status == 503]
    yield Row(name=f"{what}: until a refusal", value=_ms(refusals), unit="ms")
    none = Bound("at most", 0)
    yield Row(name=f"{what}: lost", value=sum(reply.lost for reply in replies), unit="replies", bound=none)
    left = sum(state.slots + state.callers for state in states.values())
    yield Row(name=f"{what}: slots and calls left behind", value=left, unit="slots", bound=none)
    more = sum(states[stage].tasks - tasks[stage] for stage in STAGES)
    yield Row(name=f"{what}: tasks left behind", value=max(0, more), unit="tasks", bound=none)
    yield Row(
        name=f"{what}: memory after to before", value=_memory() / memory, unit="times", bound=Bound("at most", 1.05)
    )
    again = clients.run(together, bodies[:1]).replies
    yield Row(
        name=f"{what}: then a reply is whole",
        value=sum(reply.whole for reply in again),
        unit="replies",
        bound=Bound("at least", 1),
    )


def _memory() -> int:
    """Bytes that all replicas of the platform hold to themselves."""
    return sum(process.memory_full_info().uss for process in psutil.process_iter() if _is_replica(process))


def _is_replica(process: psutil.Process) -> bool:
    try:
        return any("ServeReplica:benchmark" in word for word in process.cmdline())
    except psutil.Error:
        return False
