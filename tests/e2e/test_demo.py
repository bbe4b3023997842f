"""The demo as a newcomer runs it: from nothing to replies that are right, and no process is left."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from data_pipeline.dialogues.reading import read_dialogues
from data_pipeline.synthesis.speakers.flite import find_flite
from evaluation.run import EvaluationConfig, run_evaluation
from opens2s_core.audio import decode_audio, resample
from opens2s_core.benchmark.recogniser import RATE, PocketSphinx
from opens2s_core.benchmark.word_error import count_word_errors
from serve_app.ui.client import ChatEndpoint, Settings
from serve_app.ui.timed_reply import TimedReply, timed_reply
from tests.conftest import end, free_ports, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]


REQUEST = {
    "model": "opens2s",
    "messages": [{"role": "user", "content": "I lost my dog."}],
    "stream": True,
    "modalities": ["text", "audio"],
    "audio": {"voice": "default", "format": "pcm16"},
}


def demo(workspace: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ray_jobs.demo", "--workspace", str(workspace), *arguments]


async def replies(dialogues: Path, endpoint: str, count: int) -> list[TimedReply]:
    clips = [dialogue.messages[0].audio for dialogue in read_dialogues(str(dialogues))[:count]]
    return [await timed_reply(ChatEndpoint(endpoint), *decode_audio(clip), Settings()) for clip in clips]


def word_error(spoken: list[TimedReply]) -> float:
    """Of a recogniser's transcripts of the replies' audio, against their text."""
    transcripts = PocketSphinx(2).transcribe([resample(reply.samples, reply.sample_rate, RATE) for reply in spoken])
    counts = [count_word_errors(reply.text, words) for reply, words in zip(spoken, transcripts, strict=True)]
    return sum(count.errors for count in counts) / sum(count.words for count in counts)


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
        report = run_evaluation(
            EvaluationConfig(
                suite="verbatim",
                data=str(workspace / "dialogues"),
                model=f"http://127.0.0.1:{port}",
                output=tmp_path / "verbatim",
            )
        )
        metrics = {metric["name"]: metric for metric in report["metrics"]}
        assert report["counts"]["answered"] == report["counts"]["items"] >= 50
        assert metrics["exact"]["value"] >= 80, json.dumps(report["scores"], indent=1)
        assert metrics["first_audio"]["items"] == report["counts"]["items"]
        if find_flite():  # else the replies are learned from a voice that this one cannot render
            assert word_error(asyncio.run(replies(workspace / "dialogues", f"http://127.0.0.1:{port}", 16))) < 0.5
        second = subprocess.run(once, capture_output=True, text=True, timeout=60)
        assert second.returncode == 0, second.stdout + second.stderr
        assert "Deploying" not in second.stdout  # the demo that runs has answered
        family = psutil.Process(staying.pid).children(recursive=True)
        with httpx.stream("POST", f"http://127.0.0.1:{port}/v1/chat/completions", json=REQUEST, timeout=60) as reply:
            lines = reply.iter_lines()
            while '"data":' not in next(lines):
                pass
            staying.send_signal(signal.SIGINT)
            assert [line for line in lines if line][-1] == "data: [DONE]"  # the running reply has ended as usual
        assert staying.wait(60) == 0
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, [process.cmdline() for process in alive]
    finally:
        end(staying)
    assert_quiet(first.stdout + first.stderr + (tmp_path / "demo.log").read_text() + second.stdout + second.stderr)


def assert_quiet(written: str) -> None:
    """No chatter of the libraries on the terminal; one line for each step and each half minute of it."""
    for chatter in ("(pid=", "WARNING", "Traceback", "Task exception", "%|", "raylet", "ray."):
        assert chatter not in written.replace(".venv/bin/ray get-auth-token", ""), written
    training = [line for line in written.splitlines() if "training with DeepSpeed" in line]
    assert len(training) == len(set(training)), written
    assert sum("so far" not in line for line in training) == 1, written
