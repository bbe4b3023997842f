"""The demo as a newcomer runs it: from nothing to replies that are right, and nothing left behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from ray_jobs.evaluate import evaluate
from tests.conftest import end, free_ports, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]


def demo(workspace: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ray_jobs.demo", "--workspace", str(workspace), *arguments]


def test_the_demo_learns_its_turns_and_answers_over_http(tmp_path: Path) -> None:
    workspace, out = tmp_path / "demo", tmp_path / "reply.wav"
    port, page = free_ports(2)
    once = demo(workspace, "--port", str(port), "--once", "--out", str(out))
    first = subprocess.run(once, capture_output=True, text=True, timeout=900)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "untrained" not in first.stdout
    for row in ("first text", "first audio", "whole reply", "real-time factor"):
        assert row in first.stdout
    samples, rate = soundfile.read(out)
    assert rate == 22_050
    assert np.sqrt(np.mean(samples**2)) > 0.01  # as loud as speech

    with (tmp_path / "demo.log").open("wb") as log:
        staying = subprocess.Popen(
            demo(workspace, "--port", str(port), "--page-port", str(page)),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{page}", staying, tmp_path / "demo.log", seconds=60)
        rows = evaluate(str(workspace / "dialogues"), f"http://127.0.0.1:{port}")
        assert len(rows) >= 50
        assert sum(row["right"] for row in rows) >= 0.8 * len(rows), json.dumps(rows, indent=1)
        assert all(row["first_audio"] is not None for row in rows)
        second = subprocess.run(once, capture_output=True, text=True, timeout=60)
        assert second.returncode == 0, second.stdout + second.stderr
        assert "Deploying" not in second.stdout  # it talked to the demo that runs
        family = psutil.Process(staying.pid).children(recursive=True)
        staying.send_signal(signal.SIGINT)
        assert staying.wait(60) == 0
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, [process.cmdline() for process in alive]
    finally:
        end(staying)


def test_a_missing_sound_file_is_said_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run(demo(tmp_path, "--once", "--audio", "nowhere.wav"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "--audio nowhere.wav: no such file" in done.stderr
    assert "Traceback" not in done.stderr
