"""In processes of their own: a terminal that is taken over is not given back."""

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ray_jobs import terminal
from ray_jobs.terminal import Terminal

PROGRAM = """
import ctypes, subprocess, sys, warnings
from pathlib import Path
from ray_jobs.terminal import Terminal

terminal = Terminal.take_over(Path(sys.argv[1]))
print("from Python")
ctypes.CDLL(None).write(2, b"from C\\n", 7)
subprocess.run(["echo", "from a child"])
terminal.say("for the person")
with terminal.step("[1/1] training"):
    print("100%|###", file=sys.stderr)
try:
    with terminal.step("exporting"):
        raise ValueError("no space\\nsecond line")
except ValueError as error:
    terminal.fail(error)
    raise
"""


def test_only_what_the_program_says_reaches_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "workspace" / "demo.log"
    done = subprocess.run([sys.executable, "-c", PROGRAM, log], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "for the person",
        "[1/1] training ... 0 s",
        "exporting ... not finished",
        f"error: ValueError: no space (details: {log})",
    ]
    written = log.read_text()
    for text in ("from Python", "from C", "from a child", "100%|###", "Traceback", "second line"):
        assert text in written


class Screen(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_a_terminal_has_one_line_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_RENEWED_SECONDS", 0.02)
    screen = Screen(is_terminal=True)
    with Terminal(screen, Path("log")).step("training"):
        time.sleep(0.2)
    first, *renewed, last = screen.getvalue().split("\r")
    assert (first, last) == ("training ... ", "training ... 0 s\n")
    assert set(renewed) == {"training ... 0 s"}


def test_anything_else_has_a_line_more_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_REPEATED_SECONDS", 0.02)
    screen = Screen(is_terminal=False)
    with Terminal(screen, Path("log")).step("training"):
        time.sleep(0.2)
    *repeated, last = screen.getvalue().splitlines()
    assert last == "training ... 0 s"
    assert set(repeated) == {"training ... 0 s so far"}
