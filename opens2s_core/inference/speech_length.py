"""When speech that the model does not end is ended: it has become too long for its text, or it repeats itself."""

import math
from collections import deque
from dataclasses import dataclass, field

LONGEST_PERIOD = 25
"""Units of the longest sequence whose repetition is detected: 2 s at 12.5 units a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechLimits:
    """How long the speech of a reply may become. Both limits apply once all hidden states of its text have been read;
    before, every group of hidden states has its own few units.

    ``units_per_token`` is what the training data have on average for each hidden state that the speech decoder reads:
    for each text token, and for the two marks around the text. Speech may be ``longest_factor`` times as long. The
    marks are what lets a text of one token have more than three times the average: with the demo's data 18 units, where
    its slowest letter ("W", silence around it included) takes 14.

    Speech is a loop when ``repeated_units`` in a row equal the ones a period before, for a period of at most
    :data:`LONGEST_PERIOD` units, and the period has been repeated twice: after 2.6 s for the shortest, 6 s for the
    longest. In the demo's training replies no period is repeated for more than 2 units; a pause of a second that is all
    of one unit repeats it for 12.

    ``ValueError`` for values that are not above 0.
    """

    units_per_token: float
    longest_factor: float = 3.0
    repeated_units: int = 32

    def __post_init__(self) -> None:
        if not (0 < self.units_per_token < math.inf and 0 < self.longest_factor < math.inf):
            raise ValueError(
                f"units_per_token {self.units_per_token} and longest_factor {self.longest_factor}: expected more than 0"
            )
        if self.repeated_units < 1:
            raise ValueError(f"repeated_units must be at least 1, got {self.repeated_units}")

    def longest(self, hiddens: int) -> int:
        """Units that the speech of so many hidden states may have, at least 1."""
        return max(1, math.floor(self.longest_factor * self.units_per_token * hiddens))


@dataclass(slots=True)
class Repetition:
    """The end of a sequence of units, and for each period how many of its last units equal the ones a period before."""

    recent: deque[int] = field(default_factory=lambda: deque(maxlen=LONGEST_PERIOD))
    runs: list[int] = field(default_factory=lambda: [0] * LONGEST_PERIOD)

    def add(self, unit: int, limits: SpeechLimits) -> bool:
        """Append a unit; whether the sequence is now a loop."""
        units, loop = self.recent, False
        for period in range(1, len(units) + 1):
            run = self.runs[period - 1] = self.runs[period - 1] + 1 if units[-period] == unit else 0
            loop |= run >= max(limits.repeated_units, 2 * period)
        units.append(unit)
        return loop
