import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.noise import RngStream, normal_frames, uniform


@given(st.integers(0, 2**64), st.integers(0, 60), st.integers(1, 40))
def test_noise_of_a_frame_does_not_depend_on_the_requested_range(seed, start, count):
    whole = normal_frames((seed, RngStream.SOURCE), 0, 100, 3)
    np.testing.assert_array_equal(
        normal_frames((seed, RngStream.SOURCE), start, start + count, 3), whole[start : start + count]
    )


def test_noise_differs_by_seed_by_use_and_by_frame_and_is_normal():
    noise = normal_frames((0, RngStream.FLOW), 0, 4000, 5)
    others = (
        normal_frames((1, RngStream.FLOW), 0, 4000, 5),
        normal_frames((0, RngStream.SOURCE), 0, 4000, 5),
        np.roll(noise, 16, axis=0),
    )
    for other in others:
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.05
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05


@given(st.integers(0, 2**64), st.integers(0, 4000))
def test_the_number_of_an_index_is_deterministic(seed, place):
    assert uniform((seed, RngStream.TEXT), place) == uniform((seed, RngStream.TEXT), place)
    assert uniform((seed, RngStream.TEXT), place) != uniform((seed, RngStream.UNITS), place)


def test_the_numbers_are_uniform_and_independent():
    numbers = np.array([uniform((0, RngStream.TEXT), place) for place in range(4000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    np.testing.assert_allclose(np.quantile(numbers, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.05
