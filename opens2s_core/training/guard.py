"""Detection of a training run that diverges."""

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from opens2s_core.config import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """What happens at a step whose losses or gradient norms are not finite, or whose loss is a spike.

    ``stop`` ends the run and leaves its last checkpoint. ``skip`` resumes from the last checkpoint and leaves that step
    out, up to ``most_skipped`` steps in a run. A loss is a spike when it is above ``spike_factor`` times the median of
    the last ``spike_window`` losses; without a factor there are no spikes.
    """

    policy: Literal["stop", "skip"] = "stop"
    spike_factor: float | None = None
    spike_window: int = 50
    most_skipped: int = 10

    def __post_init__(self) -> None:
        if self.spike_factor is not None and not self.spike_factor > 1:
            raise ConfigError(f"spike_factor: expected a factor above 1, got {self.spike_factor}")
        if self.spike_window < 1:
            raise ConfigError(f"spike_window: expected at least 1 step, got {self.spike_window}")


class DivergedError(ValueError):
    """The losses of a step are not finite, or too large."""


class Guard:
    """Checks the metrics of one step after another. ``recent`` are the losses before the first of them."""

    def __init__(self, config: GuardConfig, recent: Sequence[float] = ()) -> None:
        self._config = config
        self._recent = deque(recent, maxlen=config.spike_window)

    @property
    def recent(self) -> list[float]:
        """The last losses, oldest first."""
        return list(self._recent)

    def problem(self, metrics: Mapping[str, float]) -> str | None:
        """What is wrong with the metrics of a step, or None."""
        watched = {name: value for name, value in metrics.items() if name.split("/")[0] in ("loss", "gradient_norm")}
        if not all(math.isfinite(value) for value in watched.values()):
            return f"expected finite numbers, got {watched}"
        if self._config.spike_factor is None:
            return None
        loss = metrics["loss"]
        if len(self._recent) == self._config.spike_window:
            median = statistics.median(self._recent)
            if loss > self._config.spike_factor * median > 0:
                return (
                    f"expected a loss of at most {self._config.spike_factor:g} x the median {median:g}, got {watched}"
                )
        self._recent.append(loss)
        return None
