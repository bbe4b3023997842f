"""The job that serves, started and stopped as a person does it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import end, free_ports
from tests.e2e.replicas import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_it_serves_until_it_is_interrupted_and_leaves_no_process(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_job(tiny_bundle, tmp_path / "log") as (job, address):
        assert httpx.get(f"{address}/ready").status_code == 200
        started = psutil.Process(job.pid).children(recursive=True)
        assert httpx.post(f"{address}/v1/chat/completions", json=asked(2)).status_code == 200
        job.send_signal(signal.SIGINT)
        time.sleep(0.5)
        job.send_signal(signal.SIGINT)
        assert job.wait(timeout=60) == 0
    assert psutil.wait_procs(started, timeout=20)[1] == []


def test_it_drains_running_replies_and_refuses_new_ones(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_job(tiny_bundle, tmp_path / "log") as (job, address):
        chat = f"{address}/v1/chat/completions"
        with httpx.stream(
            "POST", chat, json=asked(24, modalities=["text", "audio"], stream=True), timeout=120
        ) as reply:
            lines = reply.iter_lines()
            while '"data":' not in next(lines):
                pass
            job.terminate()
            wait_until("the drain", lambda: httpx.post(chat, json=asked(2)).status_code == 503, seconds=20)
            assert httpx.post(chat, json=asked(2)).headers["retry-after"]
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert job.wait(timeout=60) == 0


def asked(tokens: int, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "hello"}
    return {"model": "opens2s", "messages": [message], "max_tokens": tokens, "temperature": 0, **fields}


@contextmanager
def running_job(bundle: Path, log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The job once it serves, and where; it is killed in the end if it has not ended."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "ray_jobs.serve", "--bundle", str(bundle), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("w") as output:
        job = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until("the service", lambda: job.poll() is not None or "untrained" in log.read_text(), seconds=120)
        assert job.poll() is None, log.read_text()
        yield job, f"http://127.0.0.1:{port}"
    finally:
        end(job)
