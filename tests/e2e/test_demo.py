"""The demo as a newcomer runs it: from nothing to replies that are right, and nothing left behind."""

import asyncio
import json
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from data_pipeline.schema import DIALOGUE
from data_pipeline.sinks import read_rows
from data_pipeline.synthesis.flite import find_flite
from opens2s_core.audio import decode_audio, resample
from opens2s_core.benchmark.recogniser import RATE, PocketSphinx
from opens2s_core.benchmark.word_error import count_word_errors
from ray_jobs.evaluate import evaluate
from serve_app.ui.client import Endpoint, Settings
from serve_app.ui.timed_reply import Exchange, converse
from tests.conftest import end, free_ports, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]


def demo(workspace: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ray_jobs.demo", "--workspace", str(workspace), *arguments]


async def replies(dialogues: Path, endpoint: str, count: int) -> list[Exchange]:
    turns = list(islice(read_rows(str(dialogues), DIALOGUE), count))
    return [await converse(Endpoint(endpoint), *decode_audio(turn["user_audio"]), Settings()) for turn in turns]


def word_error(said: list[Exchange]) -> float:
    """Of a recogniser that hears the replies' sound, against their text."""
    heard = PocketSphinx(2).transcribe([resample(reply.samples, reply.sample_rate, RATE) for reply in said])
    counted = [count_word_errors(reply.text, words) for reply, words in zip(said, heard, strict=True)]
    return sum(count.errors for count in counted) / sum(count.words for count in counted)


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
        if find_flite():  # else the replies are learned from a voice that this one cannot render
            assert word_error(asyncio.run(replies(workspace / "dialogues", f"http://127.0.0.1:{port}", 16))) < 0.5
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
