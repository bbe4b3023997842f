"""The job that serves, started and stopped as a person does it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import free_ports

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_it_serves_until_it_is_interrupted_and_leaves_no_process(tiny_bundle: Path, tmp_path: Path) -> None:
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "ray_jobs.serve", "--bundle", str(tiny_bundle), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as job:
        try:
            deadline = time.monotonic() + 120
            while "untrained" not in log.read_text():
                assert job.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
            assert httpx.get(f"{address}/ready").status_code == 200
            started = psutil.Process(job.pid).children(recursive=True)
            body = {"model": "opens2s", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
            assert httpx.post(f"{address}/v1/chat/completions", json=body).status_code == 200
        finally:
            job.send_signal(signal.SIGINT)
            time.sleep(0.5)
            job.send_signal(signal.SIGINT)
        assert job.wait(timeout=60) == 0
    assert psutil.wait_procs(started, timeout=20)[1] == []
