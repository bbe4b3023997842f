import numpy as np
import pytest

from opens2s_core.benchmark.codebook import codebook_use


def test_codes_used_alike_are_as_many_as_the_perplexity_says() -> None:
    use = codebook_use([np.array([0, 3]), np.array([3, 0, 7, 7])], size=8)
    assert use.alive == 100 * 3 / 8
    assert use.perplexity == pytest.approx(3)


def test_a_code_that_is_rare_adds_little() -> None:
    use = codebook_use([np.array([1] * 999 + [2])], size=4)
    assert use.alive == 50
    assert 1 < use.perplexity < 1.01
