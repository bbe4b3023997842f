"""In processes of their own: a terminal that is taken over is not given back."""

import subprocess
import sys
from pathlib import Path

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
        "[1/1] training ... 0 s so far",
        "[1/1] training ... 0 s",
        "exporting ... 0 s so far",
        "exporting ... not finished",
        f"error: ValueError: no space (details: {log})",
    ]
    written = log.read_text()
    for text in ("from Python", "from C", "from a child", "100%|###", "Traceback", "second line"):
        assert text in written
