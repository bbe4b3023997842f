"""Chunk boundaries of a reply and the window that is computed for each chunk, in integers."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import floor


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkGrid:
    """The chunks of every reply, in units: those of ``first``, short for early first audio, then ``size`` each.

    The flow reads at least ``look_back`` units before a chunk again, so that the voice is continuous. With ``size``
    and ``look_back`` multiples of the flow encoder's block, all chunks after the first ones have the same shapes and
    can be batched. ``ValueError`` for chunks without units and for a negative ``look_back``.
    """

    first: tuple[int, ...] = (8, 12)
    size: int = 20
    look_back: int = 20

    def __post_init__(self) -> None:
        if any(units < 1 for units in (*self.first, self.size)):
            raise ValueError(f"chunks must have at least 1 unit, got {self.first} and {self.size}")
        if self.look_back < 0:
            raise ValueError(f"look_back must be at least 0 units, got {self.look_back}")

    def end(self, unit: int) -> int:
        """The index at which the chunk that contains ``unit`` ends."""
        steady = sum(self.first)
        if unit < steady:
            return next(end for end in accumulate(self.first) if end > unit)
        return unit + self.size - (unit - steady) % self.size


@dataclass(frozen=True, slots=True)
class Window:
    """The units and frames that the flow computes for one chunk, counted from the start of the reply."""

    units: range
    frames: range  # of mel
    known: int  # leading frames whose mel is already computed

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.units), len(self.frames)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of the chunks of ``grid``, at ``rate`` frames per unit, for an encoder with blocks of ``block``
    units."""

    grid: ChunkGrid
    rate: Fraction
    block: int  # units

    def frames(self, units: int) -> int:
        """Mel frames of the first ``units`` units, rounded down."""
        return floor(units * self.rate)

    def first_unit(self, rendered: int) -> int:
        """The first unit that is needed once ``rendered`` units have mel, rounded down to a block boundary."""
        return max(0, rendered - self.grid.look_back) // self.block * self.block

    def first_frame(self, rendered: int) -> int:
        """The first mel frame that is needed once ``rendered`` units have mel."""
        return self.frames(max(0, rendered - self.grid.look_back))

    def window(self, rendered: int, stop: int) -> Window:
        """The window for the units [rendered, stop). Its number of frames depends on the number of units alone, not on
        the position in the reply."""
        if stop == rendered:
            return Window(range(0), range(0), 0)
        end, most = self.frames(stop), self.frames(self.grid.look_back + stop - rendered)
        known = self.frames(rendered)
        first = max(0, min(known, end - most))
        return Window(range(self.first_unit(rendered), stop), range(first, end), known - first)

    def units_of(self, window: Window) -> list[int]:
        """For each frame of the window, the index of the unit in which it begins. A leading frame that begins before
        the first unit belongs to the first unit."""
        first, (frames, units) = window.units.start, self.rate.as_integer_ratio()
        return [max(frame * units // frames - first, 0) for frame in window.frames]
