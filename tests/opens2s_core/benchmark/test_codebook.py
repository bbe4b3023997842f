import numpy as np
import pytest

from opens2s_core.benchmark.codebook import codebook_usage


def test_perplexity_of_equally_used_codes_is_their_number() -> None:
    usage = codebook_usage([np.array([0, 3]), np.array([3, 0, 7, 7])], size=8)
    assert usage.alive == 100 * 3 / 8
    assert usage.perplexity == pytest.approx(3)


def test_a_code_that_is_rare_adds_little() -> None:
    usage = codebook_usage([np.array([1] * 999 + [2])], size=4)
    assert usage.alive == 50
    assert 1 < usage.perplexity < 1.01
