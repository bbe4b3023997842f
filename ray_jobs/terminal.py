"""The terminal of a program that starts noisy processes: what it says itself is shown, all else goes to a file."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_RENEWED_SECONDS, _REPEATED_SECONDS = 1.0, 30.0


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
        self._write(f"{text}\n")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One line for one step: its name, the time while it runs, and how long it took at its end. A terminal has the
        line renewed every second; anything else gets a line more every half minute."""
        started = time.monotonic()
        ended = threading.Event()
        ticking = threading.Thread(target=self._show_time, args=(name, started, ended), daemon=True)
        self._write(f"{name} ... ")
        ticking.start()
        outcome = "not finished"
        try:
            yield
            outcome = f"{time.monotonic() - started:.0f} s"
        finally:
            ended.set()
            ticking.join()
            self._write(f"\r{name} ... {outcome}\n" if self._output.isatty() else f"{outcome}\n")

    def _show_time(self, name: str, started: float, ended: threading.Event) -> None:
        renews = self._output.isatty()
        while not ended.wait(_RENEWED_SECONDS if renews else _REPEATED_SECONDS):
            running = f"{time.monotonic() - started:.0f} s"
            self._write(f"\r{name} ... {running}" if renews else f"{running} so far\n{name} ... ")

    def fail(self, error: Exception) -> None:
        """One line for an error that nobody expected; Python writes its traceback, which goes to the log."""
        summary = str(error).strip().splitlines()
        self.say(f"error: {type(error).__name__}: {summary[0] if summary else ''} (details: {self.log})")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
