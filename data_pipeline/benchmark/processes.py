"""What this process and all that it started use."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

_INTERVAL = 0.5


@dataclass(slots=True)
class Usage:
    """CPU time of all processes, and the most memory that they had at once. What several share counts once."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@contextmanager
def measured_usage() -> Iterator[Usage]:
    """The usage while the context is entered. Memory is looked at every half second; CPU time leaves out processes
    that have ended."""
    usage, ended = Usage(), threading.Event()

    def sample() -> None:
        while not ended.wait(_INTERVAL):
            usage.peak_bytes = max(usage.peak_bytes, _memory())

    thread = threading.Thread(target=sample, daemon=True)
    start = _cpu_seconds()
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()
        usage.cpu_seconds = _cpu_seconds() - start
        usage.peak_bytes = max(usage.peak_bytes, _memory())


def _processes() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _memory() -> int:
    total = 0
    for process in _processes():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended
            total += process.memory_full_info().pss
    return total


def _cpu_seconds() -> float:
    total = 0.0
    for process in _processes():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = process.cpu_times()
            total += times.user + times.system
    return total
