from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.config import Token2WavConfig
from opens2s_core.inference.chunk_grid import ChunkGrid, Windows
from opens2s_core.models.flow import frames_per_unit

PUBLISHED = Windows(ChunkGrid(), frames_per_unit(Token2WavConfig()), Token2WavConfig().flow.encoder.block_size)
grids = st.builds(
    ChunkGrid,
    first=st.lists(st.integers(1, 12), max_size=3).map(tuple),
    size=st.integers(1, 30),
    look_back=st.integers(0, 40),
)
rates = st.sampled_from([Fraction(441, 64), Fraction(25, 3), Fraction(4), Fraction(6, 5)])
windows = st.builds(Windows, grids, rates, st.integers(1, 12))


def boundaries(grid, count):
    ends = [0]
    for _ in range(count):
        ends.append(grid.end(ends[-1]))
    return ends


def test_the_first_chunks_are_short_and_later_ones_have_one_size():
    assert boundaries(ChunkGrid(), 6) == [0, 8, 20, 40, 60, 80, 100]
    assert boundaries(ChunkGrid(first=(), size=24, look_back=0), 3) == [0, 24, 48, 72]


@given(grids, st.integers(0, 200))
def test_the_end_of_a_chunk_is_the_next_boundary_for_each_of_its_units(grid, unit):
    ends = boundaries(grid, 210)
    assert grid.end(unit) == min(end for end in ends if end > unit)


@given(windows, st.integers(0, 30), st.data())
def test_windows_hold_the_new_frames_and_what_they_look_back_to(windows, chunk, data):
    grid = windows.grid
    rendered = boundaries(grid, chunk)[-1]
    stop = data.draw(st.integers(rendered + 1, grid.end(rendered)))
    window = windows.window(rendered, stop)
    assert window.frames.stop == windows.frames(stop)
    assert window.frames.start + window.known == windows.frames(rendered)
    assert window.frames.start >= windows.first_frame(rendered)
    assert window.units.stop == stop
    assert window.units.start % windows.block == 0
    assert min(rendered, grid.look_back) <= rendered - window.units.start < grid.look_back + windows.block
    assert windows.first_unit(rendered) == window.units.start
    seen = windows.units_of(window)
    assert all(
        unit == max(int(frame / windows.rate) - window.units.start, 0)
        for frame, unit in zip(window.frames, seen, strict=True)
    )
    assert seen[-1] < len(window.units)


def test_all_later_windows_of_the_published_sizes_have_the_same_shape():
    ends = boundaries(PUBLISHED.grid, 1000)
    shapes = [PUBLISHED.window(*pair).shape for pair in pairwise(ends)]
    assert shapes[:2] == [(8, 55), (20, 137)]
    assert set(shapes[2:]) == {(40, 275)}


@given(st.integers(0, 10**9), st.integers(1, 20))
def test_cost_never_grows(unit, count):
    window = PUBLISHED.window(unit, unit + count)
    assert len(window.units) < 40 + PUBLISHED.block
    assert len(window.frames) <= 275


def test_the_window_of_no_units_is_empty():
    assert PUBLISHED.window(20, 20).shape == (0, 0)


@pytest.mark.parametrize("wrong", [{"first": (8, 0)}, {"size": 0}, {"look_back": -1}])
def test_invalid_grids_are_refused(wrong):
    with pytest.raises(ValueError, match="at least"):
        ChunkGrid(**wrong)
