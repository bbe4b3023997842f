"""How a job tells what it has done so far."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """So many more rows are finished, ``rejected`` of them without being used; the others have so much audio."""

    rows: int
    rejected: int
    audio_samples: int  # at 16 kHz


ShowProgress = Callable[[int, int], AbstractContextManager[Callable[[Passed], None]]]
"""Called with all rows and those that an earlier run has done; gives what is called while the job runs."""
