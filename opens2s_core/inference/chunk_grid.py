"""Where the chunks of a reply end, and what is computed again for each of them: integers alone."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import floor


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkGrid:
    """The chunks of every reply, in units: those of ``first``, short for early first audio, then ``then`` each.

    The flow sees at least ``look_back`` units before a chunk again, so that the voice is continuous. With ``then``
    and ``look_back`` multiples of the flow encoder's block, all chunks after the first ones have the same shapes: they
    can be computed together. ``ValueError`` for chunks without units and for a negative ``look_back``.
    """

    first: tuple[int, ...] = (8, 12)
    then: int = 20
    look_back: int = 20

    def __post_init__(self) -> None:
        if any(units < 1 for units in (*self.first, self.then)):
            raise ValueError(f"chunks must have at least 1 unit, got {self.first} and {self.then}")
        if self.look_back < 0:
            raise ValueError(f"look_back must be at least 0 units, got {self.look_back}")

    def end(self, unit: int) -> int:
        """The index at which the chunk that holds ``unit`` ends."""
        steady = sum(self.first)
        if unit < steady:
            return next(end for end in accumulate(self.first) if end > unit)
        return unit + self.then - (unit - steady) % self.then


@dataclass(frozen=True, slots=True)
class Window:
    """What the flow computes for one chunk, counted from the reply's start."""

    units: range
    frames: range  # of mel
    known: int  # of these frames, from the left: their mel is decided

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.units), len(self.frames)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of the chunks of ``grid``, at ``rate`` frames a unit, with an encoder that works in blocks."""

    grid: ChunkGrid
    rate: Fraction
    block: int  # units

    def frames(self, units: int) -> int:
        """Mel frames of the first ``units`` units, rounded down."""
        return floor(units * self.rate)

    def first_unit(self, rendered: int) -> int:
        """The first unit that is needed once ``rendered`` units have mel; on the reply's own grid of blocks."""
        return max(0, rendered - self.grid.look_back) // self.block * self.block

    def first_frame(self, rendered: int) -> int:
        """The first frame of mel that is needed then."""
        return self.frames(max(0, rendered - self.grid.look_back))

    def of(self, rendered: int, stop: int) -> Window:
        """For the units [rendered, stop). Frames are counted off from the end: their number is that of the units alone,
        anywhere in the reply."""
        if stop == rendered:
            return Window(range(0), range(0), 0)
        end, most = self.frames(stop), self.frames(self.grid.look_back + stop - rendered)
        known = self.frames(rendered)
        first = max(0, min(known, end - most))
        return Window(range(self.first_unit(rendered), stop), range(first, end), known - first)

    def units_of(self, window: Window) -> list[int]:
        """For each of the window's frames, which of its units it belongs to: that in which the frame begins. One at the
        very left may begin just before the first unit, and goes to that."""
        first, (frames, units) = window.units.start, self.rate.as_integer_ratio()
        return [max(frame * units // frames - first, 0) for frame in window.frames]
