"""Timing of comparable runs."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from tqdm import tqdm


def now() -> float:
    """Current time in seconds, after all pending work of the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def alternate(
    runs: Mapping[str, Callable[[], float]], repeats: int, what: str, *, warm: bool = True
) -> dict[str, float]:
    """The median result of each run. The runs alternate, so that changes in the speed of the machine affect all of
    them. With ``warm`` the first round is not counted."""
    measured: dict[str, list[float]] = {name: [] for name in runs}
    for i in tqdm(range(repeats + warm), desc=what, unit="round"):
        for name, run in runs.items():
            value = run()
            if i >= warm:
                measured[name].append(value)
    return {name: statistics.median(values) for name, values in measured.items()}
