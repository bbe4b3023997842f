"""The progress that a job reports."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """What was finished since the last report: ``rows`` in all, ``rejected`` of them; the audio of the others."""

    rows: int
    rejected: int
    audio_samples: int  # at 16 kHz


ShowProgress = Callable[[int, int], AbstractContextManager[Callable[[Passed], None]]]
"""Called with the number of rows, and of those that an earlier run finished. The job calls the function that its
context returns with each :class:`Passed`."""
