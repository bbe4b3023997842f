"""The processes of the served platform, found and ended as an operator would."""

import os
import signal
import time

import psutil


def processes(stage: str, app: str = "opens2s") -> list[psutil.Process]:
    """The processes of a deployment's replicas."""
    title = f"ray::ServeReplica:{app}:{stage}"
    found = []
    for process in psutil.process_iter():
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(stage: str, app: str = "opens2s") -> None:
    """End every replica of a stage without a warning."""
    for process in processes(stage, app):
        os.kill(process.pid, signal.SIGKILL)


def wait_until(what: str, condition: object, seconds: float = 60.0) -> None:
    """Until ``condition()`` is true; says ``what`` it waited for if it does not become so."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)
