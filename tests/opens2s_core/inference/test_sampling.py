import pytest
import torch

from opens2s_core.inference.messages import Sampling
from opens2s_core.inference.sampling import new_generator, sample


def draws(logits: torch.Tensor, sampling: Sampling, count: int = 300) -> list[int]:
    generator = new_generator(sampling)
    return [sample(logits, sampling, generator) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draws(torch.tensor([0.0, 3.0, 2.9]), Sampling(temperature=0.0), 5) == [1] * 5


def test_top_p_keeps_the_smallest_nucleus_that_reaches_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert set(draws(logits, Sampling(temperature=1.0, top_p=0.5))) == {0}
    assert set(draws(logits, Sampling(temperature=1.0, top_p=0.8))) == {0, 1}
    assert set(draws(logits, Sampling(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


def test_frequencies_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0])
    share = sum(draws(logits, Sampling(temperature=0.5), 4000)) / 4000
    assert abs(share - torch.sigmoid(torch.tensor(2.0)).item()) < 0.03


def test_streams_have_randomness_of_their_own() -> None:
    before = torch.get_rng_state()
    first = draws(torch.zeros(50), Sampling(temperature=1.0, seed=1))
    assert first == draws(torch.zeros(50), Sampling(temperature=1.0, seed=1))
    assert first != draws(torch.zeros(50), Sampling(temperature=1.0, seed=2))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"temperature": -0.5}, "got -0.5"),
        ({"temperature": float("nan")}, "got nan"),
        ({"top_p": 0.0}, "and 0.0"),
        ({"top_p": 1.5}, "and 1.5"),
    ],
)
def test_values_that_choose_nothing_are_refused(values: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sampling(**values)  # type: ignore[arg-type]
