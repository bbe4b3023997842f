"""Progress bar of a stage."""

from itertools import islice
from types import TracebackType

from tqdm import tqdm

from opens2s_core.training.loop import Progress

_SHOWN = 4


class ProgressBar:
    """Shows the steps done and the first few metrics of a step."""

    def __init__(self, name: str, steps: int) -> None:
        self._name, self._steps, self._shown = name, steps, 0
        self._every = max(steps // 200, 1)  # without a terminal each update is a line
        self._bar = tqdm(desc=name, total=steps, unit="step")

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def __call__(self, progress: Progress) -> None:
        done = progress.done
        if done % self._every and done != self._steps:
            return
        shown = ", ".join(f"{name} {value:.3g}" for name, value in islice(progress.metrics.items(), _SHOWN))
        self._bar.set_description(f"{self._name}: {shown}")
        self._bar.update(done - self._shown)
        self._shown = done
