import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.inference.noise import normal_frames


@given(st.integers(0, 2**64), st.integers(0, 60), st.integers(1, 40))
def test_noise_belongs_to_its_frame_however_it_is_asked_for(seed, start, count):
    whole = normal_frames((seed, 1), 0, 100, 3)
    np.testing.assert_array_equal(normal_frames((seed, 1), start, start + count, 3), whole[start : start + count])


def test_noise_differs_by_seed_by_use_and_by_frame_and_is_normal():
    noise = normal_frames((0, 0), 0, 4000, 5)
    others = normal_frames((1, 0), 0, 4000, 5), normal_frames((0, 1), 0, 4000, 5), np.roll(noise, 16, axis=0)
    for other in others:
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.05
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
