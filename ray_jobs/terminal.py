"""The terminal of a program that starts noisy processes: what it says itself is shown, all else goes to a file."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ray_jobs.live_line import live_line


class Terminal:
    """Text for the person at the terminal. ``log`` names the file with everything else."""

    def __init__(self, output: TextIO, log: Path) -> None:
        self.log = log
        self._output = output

    @classmethod
    def take_over(cls, log: Path) -> "Terminal":
        """From now on, and until the process ends, standard output and error of this process go to ``log``: also what C
        libraries and child processes write, which know only the file descriptors."""
        log.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        output = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
        return cls(output, log)

    def say(self, text: str) -> None:
        self._output.write(f"{text}\n")
        self._output.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One line for one step, see :func:`~ray_jobs.live_line.live_line`: its name, the time while it runs, and how
        long it took at its end."""
        started, outcome = time.monotonic(), ""

        def text() -> str:
            return f"{name} ... {outcome or f'{time.monotonic() - started:.0f} s so far'}"

        with live_line(self._output, text):
            try:
                yield
                outcome = f"{time.monotonic() - started:.0f} s"
            finally:
                outcome = outcome or "not finished"

    def fail(self, error: Exception) -> None:
        """One line for an error that nobody expected; Python writes its traceback, which goes to the log."""
        summary = str(error).strip().splitlines()
        self.say(f"error: {type(error).__name__}: {summary[0] if summary else ''} (details: {self.log})")
