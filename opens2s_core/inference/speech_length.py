"""Limits of speech that the model does not end itself: its length relative to the text, and repetition."""

import math
from collections import deque
from dataclasses import dataclass, field

LONGEST_PERIOD = 25
"""Units of the longest sequence whose repetition is detected: 2 s at 12.5 units a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechLimits:
    """Limits on the speech of a reply. Both apply once all hidden states of the text have been read; before that, the
    number of units per group of hidden states is fixed.

    ``units_per_token`` is the average number of units in the training data for each hidden state that the speech
    decoder reads: one per text token and for each of the two marker tokens around the text. Speech may be
    ``longest_factor`` times as long. Because of the markers, a text of one token may have more than three times the
    average: 18 units with the demo's data, whose slowest letter ("W", with silence around it) takes 14.

    Speech is a loop if ``repeated_units`` consecutive units equal those one period before, for a period of at most
    :data:`LONGEST_PERIOD` units, and the period has been repeated twice: after 2.6 s for the shortest period, 6 s for
    the longest. In the demo's training replies no period is repeated for more than 2 units; a pause of one second made
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

    def longest(self, hidden_states: int) -> int:
        """Maximum number of units for this number of hidden states, at least 1."""
        return max(1, math.floor(self.longest_factor * self.units_per_token * hidden_states))


@dataclass(slots=True)
class Repetition:
    """The latest units, and for each period the number of last units that equal those one period before."""

    recent: deque[int] = field(default_factory=lambda: deque(maxlen=LONGEST_PERIOD))
    runs: list[int] = field(default_factory=lambda: [0] * LONGEST_PERIOD)

    def add(self, unit: int, limits: SpeechLimits) -> bool:
        """Append a unit and return whether the sequence is now a loop."""
        units, loop = self.recent, False
        for period in range(1, len(units) + 1):
            run = self.runs[period - 1] = self.runs[period - 1] + 1 if units[-period] == unit else 0
            loop |= run >= max(limits.repeated_units, 2 * period)
        units.append(unit)
        return loop
