from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from opens2s_core.inference import sampling as module
from opens2s_core.inference.messages import Sampling
from opens2s_core.inference.noise import Use
from opens2s_core.inference.sampling import Choice, choose

TOKENS = 30
GRID = 997
"""Numbers that choose: as many, evenly spaced."""


def draw(logits: Tensor, sampling: Sampling, chosen: tuple[int, ...] = ()) -> int | None:
    [token] = choose(logits[None], [Choice(sampling, Use.TEXT, chosen)])
    return token


def draws(logits: Tensor, sampling: Sampling, count: int = 300) -> list[int | None]:
    """Those of ``count`` replies that differ by their seed."""
    seeds = range(sampling.seed, sampling.seed + count)
    return [draw(logits, Sampling(temperature=sampling.temperature, top_p=sampling.top_p, seed=s)) for s in seeds]


def published(logits: Tensor, sampling: Sampling, chosen: tuple[int, ...]) -> NDArray[np.float64]:
    """What transformers would draw, as probabilities (V,)."""
    steps = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty=sampling.repetition_penalty)])
    steps.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k is not None:
        steps.append(TopKLogitsWarper(sampling.top_k))
    steps.append(TopPLogitsWarper(sampling.top_p))
    scores = steps(torch.tensor([chosen], dtype=torch.long), logits[None].double())
    return scores.softmax(dim=-1)[0].numpy()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    temperature=st.floats(0.05, 5),
    top_p=st.just(1.0) | st.floats(0.01, 1),
    top_k=st.none() | st.integers(1, TOKENS + 3),
    penalty=st.just(1.0) | st.floats(0.3, 3),
    chosen=st.lists(st.integers(0, TOKENS - 1), max_size=12).map(tuple),
)
def test_ids_are_drawn_as_the_published_processors_would(
    seed: int, temperature: float, top_p: float, top_k: int | None, penalty: float, chosen: tuple[int, ...]
) -> None:
    logits = torch.randn(TOKENS, generator=torch.Generator().manual_seed(seed)) * 3
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, repetition_penalty=penalty)
    numbers = iter(np.arange(GRID) / GRID)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "uniform", lambda key, index: float(next(numbers)))
        shares = np.bincount([draw(logits, sampling, chosen) or 0 for _ in range(GRID)], minlength=TOKENS) / GRID
    # Each id holds one interval of the numbers, and the number of even steps in an interval is its length, to one.
    expected = published(logits, sampling, chosen)
    np.testing.assert_allclose(shares, expected, atol=1.5 / GRID)
    assert not shares[expected == 0].any()


@given(seed=st.integers(0, 2**32), penalty=st.floats(0.3, 3), chosen=st.lists(st.integers(0, 29), max_size=40))
def test_temperature_zero_takes_the_likeliest_of_what_the_penalty_leaves(
    seed: int, penalty: float, chosen: list[int]
) -> None:
    logits = torch.randn(TOKENS, generator=torch.Generator().manual_seed(seed)) * 3
    penalised = RepetitionPenaltyLogitsProcessor(penalty=penalty)(
        torch.tensor([chosen], dtype=torch.long), logits[None].double()
    )
    assert draw(logits, Sampling(repetition_penalty=penalty), tuple(chosen)) == int(penalised.argmax())
    assert draw(logits, Sampling(), tuple(chosen)) == int(logits.argmax())


def test_top_p_keeps_the_smallest_nucleus_that_reaches_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert set(draws(logits, Sampling(temperature=1.0, top_p=0.49))) == {0}
    assert set(draws(logits, Sampling(temperature=1.0, top_p=0.79))) == {0, 1}
    assert set(draws(logits, Sampling(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


def test_frequencies_follow_the_tempered_distribution() -> None:
    drawn = draws(torch.tensor([0.0, 1.0]), Sampling(temperature=0.5), 4000)
    assert abs(drawn.count(1) / 4000 - torch.sigmoid(torch.tensor(2.0)).item()) < 0.03


def test_the_number_that_decides_belongs_to_seed_use_and_place() -> None:
    logits, wild = torch.zeros(10_000), Sampling(temperature=1.0, seed=1)
    before = torch.get_rng_state()
    drawn = draw(logits, wild, (3, 4))
    assert drawn == draw(logits, wild, (5, 6))
    others = [
        draw(logits, Sampling(temperature=1.0, seed=2), (3, 4)),
        draw(logits, wild, (3, 4, 5)),
        *choose(logits[None], [Choice(wild, Use.UNITS, (3, 4))]),
    ]
    assert drawn not in others
    assert torch.equal(before, torch.get_rng_state())


def test_each_row_is_chosen_by_its_own_sampling() -> None:
    logits = torch.randn(5, TOKENS, generator=torch.Generator().manual_seed(0))
    choices = [
        Choice(Sampling(), Use.TEXT, ()),
        Choice(Sampling(temperature=2.0, seed=1), Use.TEXT, (1, 2)),
        Choice(Sampling(repetition_penalty=9.0), Use.TEXT, (int(logits[2].argmax()),)),
        Choice(Sampling(temperature=2.0, seed=1, top_k=3), Use.UNITS, (1, 2)),
        Choice(Sampling(), Use.TEXT, (4,)),
    ]
    together = choose(logits, choices)
    assert together == [choose(logits[i : i + 1], [choice])[0] for i, choice in enumerate(choices)]
    assert together[2] != int(logits[2].argmax())


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0), Sampling(repetition_penalty=2.0)])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_row_that_is_no_numbers_chooses_nothing_and_leaves_the_others_alone(sampling: Sampling, value: float) -> None:
    logits = torch.randn(3, TOKENS, generator=torch.Generator().manual_seed(0))
    choices = [Choice(sampling, Use.TEXT, (1, 2))] * 3
    clean = choose(logits, choices)
    logits[1, 7] = value
    assert choose(logits, choices) == [clean[0], None, clean[2]]
    logits[1] = -torch.inf
    assert choose(logits, choices) == [clean[0], None, clean[2]]


def test_what_is_impossible_is_never_drawn() -> None:
    logits = torch.full((TOKENS,), -torch.inf)
    logits[[3, 8]] = 1.0
    assert set(draws(logits, Sampling(temperature=3.0, top_p=0.95))) == {3, 8}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"temperature": -0.5}, "got -0.5"),
        ({"temperature": float("nan")}, "got nan"),
        ({"temperature": float("inf")}, "got inf"),
        ({"top_p": 0.0}, "and 0.0"),
        ({"top_p": 1.5}, "and 1.5"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, got 0"),
        ({"repetition_penalty": float("nan")}, "got nan"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_values_that_choose_nothing_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sampling(**values)
