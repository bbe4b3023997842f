"""How far a job has come, how fast, and how long it will take."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TextIO

from data_pipeline.progress import Passed
from opens2s_core.audio import SAMPLE_RATE
from ray_jobs.live_line import live_line

_WINDOW_SECONDS = 60.0
_COUNTS_APART_SECONDS = 0.5


class Progress:
    """The progress of a job over ``total_rows`` rows, as one line on ``output`` while the context is entered.

    ``done_before`` rows were finished by an earlier run. Rates are those of the last minute. ``clock`` gives seconds.
    Methods may be called from any thread.
    """

    def __init__(
        self,
        total_rows: int,
        *,
        name: str = "preparing",
        done_before: int = 0,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._name, self._before = total_rows, name, done_before
        self._output = sys.stderr if output is None else output
        self._clock = clock
        self._lock = threading.Lock()
        self._rows, self._audio, self._rejected = 0, 0.0, 0  # of this run
        self._started = clock()
        self._recent = deque([(self._started, 0, 0.0)])  # time, rows, seconds of audio; the first is the window's start
        self._ended: float | None = None
        self._line: AbstractContextManager[None] | None = None

    def add(self, rows: int, seconds_of_audio: float = 0.0, rejected: int = 0) -> None:
        """``rows`` more are finished, ``rejected`` of them without being used; the others have so much audio."""
        with self._lock:
            self._rows += rows
            self._audio += seconds_of_audio
            self._rejected += rejected
            now = self._clock()
            if now - self._recent[-1][0] >= _COUNTS_APART_SECONDS:
                self._recent.append((now, self._rows, self._audio))

    def __enter__(self) -> "Progress":
        self._line = live_line(self._output, self.line)
        self._line.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._line is not None, "entered before"
        with self._lock:
            self._ended = self._clock()
        self._line.__exit__(None, None, None)

    def line(self) -> str:
        """What is shown now: rates and time left, or after the end totals."""
        with self._lock:
            return self._line_at(self._clock()) if self._ended is None else self._summary(self._ended - self._started)

    def _line_at(self, now: float) -> str:
        while len(self._recent) > 1 and self._recent[1][0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
        since, rows_before, audio_before = self._recent[0]
        parts = [self._done()]
        if (passed := now - since) > 0 and self._rows:
            row_rate = (self._rows - rows_before) / passed
            parts += [f"{_number(row_rate)} rows/s", _audio_rate((self._audio - audio_before) / passed)]
            if row_rate:
                parts.append(f"{_duration((self._total - self._before - self._rows) / row_rate)} left")
        return self._joined(parts)

    def _summary(self, passed: float) -> str:
        parts = [f"{self._done()} in {_duration(passed)}"]
        if passed > 0 and self._rows:
            parts += [f"{_number(self._rows / passed)} rows/s", _audio_rate(self._audio / passed)]
        return self._joined([*parts, f"{self._audio / 3600:,.2f} h of audio"])

    def _done(self) -> str:
        before = f" ({self._before:,} before)" if self._before else ""
        return f"{self._before + self._rows:,}/{self._total:,} rows{before}"

    def _joined(self, parts: list[str]) -> str:
        return "  ".join([self._name, *parts, f"{self._rejected:,} rejected"])


def _number(value: float) -> str:
    """At least two significant digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _audio_rate(seconds: float) -> str:
    """Of so many seconds of audio a second, in a unit that suits them."""
    unit, size = next(
        (unit, size) for unit, size in (("h", 3600), ("min", 60), ("s", 1)) if seconds >= size / 10 or size == 1
    )
    return f"{_number(seconds / size)} {unit}/s"


def _duration(seconds: float) -> str:
    """``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def show_progress(rows: int, done: int, *, name: str = "preparing") -> Iterator[Callable[[Passed], None]]:
    """The progress of a data job, see :data:`~data_pipeline.progress.ShowProgress`."""
    with Progress(rows, name=name, done_before=done) as line:
        yield lambda passed: line.add(passed.rows, passed.audio_samples / SAMPLE_RATE, passed.rejected)
