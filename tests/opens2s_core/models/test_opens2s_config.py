import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.config import ConfigError
from opens2s_core.models.opens2s_config import Interleave

counts = st.integers(0, 40)


@given(st.integers(1, 6), st.integers(1, 9), counts, counts)
def test_interleaving_takes_turns_until_one_side_is_used_up(m: int, n: int, hiddens: int, units: int) -> None:
    expected = [0]
    h, u = list(range(1, 1 + hiddens)), list(range(1 + hiddens, 1 + hiddens + units))
    while h or u:
        expected += h[:m] + u[:n]
        h, u = h[m:], u[n:]
    assert Interleave(m, n).order(hiddens, units).tolist() == expected


@pytest.mark.parametrize("text", ["4", "4:", ":8", "0:8", "4:x", "-1:8", ""])
def test_a_malformed_ratio_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="expected two positive whole numbers"):
        Interleave.parse(text)
