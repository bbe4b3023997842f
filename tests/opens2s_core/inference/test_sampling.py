from dataclasses import replace
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
from opens2s_core.inference.noise import RngStream, uniform
from opens2s_core.inference.sampling import SamplingInputs, choose

TOKENS = 30
GRID = 997
"""Number of evenly spaced values that replace random numbers."""


def draw(logits: Tensor, sampling: Sampling, generated: tuple[int, ...] = ()) -> int | None:
    [token] = choose(logits[None], [SamplingInputs(sampling, RngStream.TEXT, generated)])
    return token


def draw_many(logits: Tensor, sampling: Sampling, count: int = 300) -> list[int | None]:
    """The first tokens of ``count`` replies that differ by their seed."""
    seeds = range(sampling.seed, sampling.seed + count)
    inputs = [SamplingInputs(replace(sampling, seed=seed), RngStream.TEXT, ()) for seed in seeds]
    return choose(logits.expand(count, -1), inputs)


def published(logits: Tensor, sampling: Sampling, generated: tuple[int, ...]) -> NDArray[np.float64]:
    """The probabilities (V,) with which transformers draws."""
    steps = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty=sampling.repetition_penalty)])
    steps.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k is not None:
        steps.append(TopKLogitsWarper(sampling.top_k))
    steps.append(TopPLogitsWarper(sampling.top_p))
    scores = steps(torch.tensor([generated], dtype=torch.long), logits[None].double())
    return scores.softmax(dim=-1)[0].numpy()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    temperature=st.floats(0.05, 5),
    top_p=st.just(1.0) | st.floats(0.01, 1),
    top_k=st.none() | st.integers(1, TOKENS + 3),
    penalty=st.just(1.0) | st.floats(0.3, 3),
    generated=st.lists(st.integers(0, TOKENS - 1), max_size=12).map(tuple),
)
def test_ids_are_drawn_as_by_the_transformers_processors(
    seed: int, temperature: float, top_p: float, top_k: int | None, penalty: float, generated: tuple[int, ...]
) -> None:
    logits = torch.randn(TOKENS, generator=torch.Generator().manual_seed(seed)) * 3
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, repetition_penalty=penalty)
    numbers = iter(np.arange(GRID) / GRID)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "uniform", lambda key, index: float(next(numbers)))
        inputs = [SamplingInputs(sampling, RngStream.TEXT, generated)] * GRID
        shares = np.bincount([token or 0 for token in choose(logits.expand(GRID, -1), inputs)], minlength=TOKENS) / GRID
    # Each id holds one interval of the numbers, and the number of even steps in an interval is its length, to one.
    expected = published(logits, sampling, generated)
    np.testing.assert_allclose(shares, expected, atol=1.5 / GRID)
    assert not shares[expected == 0].any()


@given(seed=st.integers(0, 2**32), penalty=st.floats(0.3, 3), generated=st.lists(st.integers(0, 29), max_size=40))
def test_temperature_zero_takes_the_likeliest_after_the_penalty(
    seed: int, penalty: float, generated: list[int]
) -> None:
    logits = torch.randn(TOKENS, generator=torch.Generator().manual_seed(seed)) * 3
    penalised = RepetitionPenaltyLogitsProcessor(penalty=penalty)(
        torch.tensor([generated], dtype=torch.long), logits[None].double()
    )
    assert draw(logits, Sampling(repetition_penalty=penalty), tuple(generated)) == int(penalised.argmax())
    assert draw(logits, Sampling(), tuple(generated)) == int(logits.argmax())


# The oracle: one row at a time, by the formulas


def oracle(logits: Tensor, inputs: SamplingInputs) -> int:
    sampling, scores = inputs.sampling, logits.double().numpy().copy()
    for token in set(inputs.generated):
        times = inputs.generated.count(token)
        penalty = sampling.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
        scores[token] -= sampling.presence_penalty + sampling.frequency_penalty * times
    for token, bias in sampling.logit_bias:
        scores[token] += bias
    if sampling.temperature == 0:
        return int(scores.argmax())
    likeliest = sorted(range(len(scores)), key=lambda token: -scores[token])
    if sampling.top_k is not None:
        least = scores[likeliest[: sampling.top_k][-1]]
        likeliest = [token for token in likeliest if scores[token] >= least]
    probability = np.exp((scores[likeliest] - scores.max()) / sampling.temperature)
    probability /= probability.sum()
    kept = dict[int, float]()
    for token, share in zip(likeliest, probability, strict=True):
        if sampling.top_p == 1 or sum(kept.values()) < sampling.top_p:
            kept[token] = share
    number = uniform((sampling.seed, inputs.rng), len(inputs.generated)) * sum(kept.values())
    for token in sorted(kept):
        number -= kept[token]
        if number < 0:
            break
    return token


def any_inputs(tokens: int) -> st.SearchStrategy[SamplingInputs]:
    ids = st.integers(0, tokens - 1)
    sampling = st.builds(
        Sampling,
        temperature=st.just(0.0) | st.floats(0.05, 5),
        top_p=st.just(1.0) | st.floats(0.01, 1),
        top_k=st.none() | st.integers(1, tokens + 3),
        repetition_penalty=st.just(1.0) | st.floats(0.3, 3),
        presence_penalty=st.just(0.0) | st.floats(-2, 2),
        frequency_penalty=st.just(0.0) | st.floats(-2, 2),
        logit_bias=st.dictionaries(ids, st.floats(-5, 5), max_size=3).map(lambda biases: tuple(biases.items())),
        seed=st.integers(0, 2**40),
    )
    return st.builds(SamplingInputs, sampling, st.sampled_from(RngStream), st.lists(ids, max_size=12).map(tuple))


def random_logits(rows: int, tokens: int, seed: int, scale: float = 3.0) -> Tensor:
    return torch.randn(rows, tokens, generator=torch.Generator().manual_seed(seed)) * scale


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.lists(any_inputs(TOKENS), min_size=1, max_size=5))
def test_a_batch_is_chosen_as_by_the_oracle_row_by_row(seed: int, inputs: list[SamplingInputs]) -> None:
    logits = random_logits(len(inputs), TOKENS, seed)
    expected = [oracle(row, one) for row, one in zip(logits, inputs, strict=True)]
    assert choose(logits, inputs) == expected
    assert [choose(row[None], [one])[0] for row, one in zip(logits, inputs, strict=True)] == expected


@settings(max_examples=80)
@given(
    st.integers(0, 2**32),
    st.floats(0.01, 8),
    st.sampled_from([None, 0.5, 1e-3]),
    st.lists(any_inputs(300), min_size=1, max_size=6),
)
def test_a_batch_of_any_sharpness_and_with_equal_logits_is_chosen_as_by_the_oracle(
    seed: int, scale: float, step: float | None, inputs: list[SamplingInputs]
) -> None:
    logits = random_logits(len(inputs), 300, seed, scale)
    if step is not None:  # as in bfloat16: many tokens are equally likely, or nearly
        logits = (logits / step).round() * step
    expected = [oracle(row, one) for row, one in zip(logits, inputs, strict=True)]
    for candidates in (2, 300):  # a nucleus may be wider than those that are sorted first
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module, "_CANDIDATES", candidates)
            patched.setattr(module, "_CACHED", 600)
            assert choose(logits, inputs) == expected
            assert [choose(row[None], [one])[0] for row, one in zip(logits, inputs, strict=True)] == expected


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_a_vocabulary_of_full_size_is_sampled_as_by_the_oracle(scale: float) -> None:
    logits = random_logits(3, 151_936, 0, scale)
    sampling = Sampling(temperature=1.0, top_p=0.9, repetition_penalty=1.1, seed=3)
    inputs = [SamplingInputs(sampling, RngStream.TEXT, tuple(range(n, n + 50))) for n in range(3)]
    # The formulas add one token after the other: for so many, cumulated sums stand in for them.
    likelihood = logits[0].double()
    likelihood[:50] = torch.where(likelihood[:50] > 0, likelihood[:50] / 1.1, likelihood[:50] * 1.1)
    likelihood = likelihood.softmax(dim=-1).numpy()
    order = np.argsort(-likelihood, kind="stable")
    before = likelihood[order].cumsum() - likelihood[order]
    likelihood[order[before >= 0.9]] = 0
    reached = likelihood.cumsum()
    expected = np.searchsorted(reached, uniform((3, RngStream.TEXT), 50) * reached[-1], side="right")
    chosen = choose(logits, inputs)
    assert chosen[0] == expected
    assert chosen == [choose(row[None], [one])[0] for row, one in zip(logits, inputs, strict=True)]


def test_greedy_rows_without_penalties_need_nothing_but_their_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module, "_choose_adjusted")
    logits = random_logits(4, TOKENS, 0)
    unused = Sampling(repetition_penalty=2.0, presence_penalty=1.0, frequency_penalty=1.0)
    inputs = [SamplingInputs(Sampling(), RngStream.TEXT, (1, 2, 3))] * 3 + [SamplingInputs(unused, RngStream.TEXT, ())]
    assert choose(logits, inputs) == logits.argmax(dim=-1).tolist()


def test_presence_counts_once_and_frequency_each_time() -> None:
    logits = torch.tensor([1.0, 0.0, 0.0])
    assert draw(logits, Sampling(presence_penalty=0.6), (0, 0, 0)) == 0
    assert draw(logits, Sampling(presence_penalty=1.1), (0,)) == 1
    assert draw(logits, Sampling(frequency_penalty=0.6), (0,)) == 0
    assert draw(logits, Sampling(frequency_penalty=0.6), (0, 0)) == 1
    assert draw(logits, Sampling(presence_penalty=-2.0), (2,)) == 2


def test_a_bias_forces_or_bans_a_token_whatever_the_penalties() -> None:
    logits, strong = random_logits(1, TOKENS, 0)[0], {"temperature": 1.0, "repetition_penalty": 3.0}
    assert set(draw_many(logits, Sampling(temperature=1.0, logit_bias=((7, 100.0),)))) == {7}
    assert draw(logits, Sampling(**strong, logit_bias=((7, 100.0),)), (7,) * 20) == 7  # type: ignore[arg-type]
    likeliest = int(logits.argmax())
    assert likeliest not in draw_many(logits, Sampling(temperature=1.0, logit_bias=((likeliest, -100.0),)))


@pytest.mark.parametrize("penalty", [1e-308, 1e308])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e300])
def test_extreme_values_still_choose_a_token(penalty: float, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, repetition_penalty=penalty, top_p=0.9)
    token = draw(torch.tensor([50.0, -3.0, 2.0]), sampling, (0, 1))
    assert token in (0, 1, 2)


def test_top_p_keeps_the_smallest_nucleus_that_reaches_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert set(draw_many(logits, Sampling(temperature=1.0, top_p=0.49))) == {0}
    assert set(draw_many(logits, Sampling(temperature=1.0, top_p=0.79))) == {0, 1}
    assert set(draw_many(logits, Sampling(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


def test_frequencies_follow_the_tempered_distribution() -> None:
    drawn = draw_many(torch.tensor([0.0, 1.0]), Sampling(temperature=0.5), 4000)
    assert abs(drawn.count(1) / 4000 - torch.sigmoid(torch.tensor(2.0)).item()) < 0.03


def test_the_random_number_belongs_to_seed_stream_and_index() -> None:
    logits, wild = torch.zeros(10_000), Sampling(temperature=1.0, seed=1)
    before = torch.get_rng_state()
    drawn = draw(logits, wild, (3, 4))
    assert drawn == draw(logits, wild, (5, 6))
    others = [
        draw(logits, Sampling(temperature=1.0, seed=2), (3, 4)),
        draw(logits, wild, (3, 4, 5)),
        *choose(logits[None], [SamplingInputs(wild, RngStream.UNITS, (3, 4))]),
    ]
    assert drawn not in others
    assert torch.equal(before, torch.get_rng_state())


def test_each_row_has_its_own_sampling() -> None:
    logits = torch.randn(5, TOKENS, generator=torch.Generator().manual_seed(0))
    inputs = [
        SamplingInputs(Sampling(), RngStream.TEXT, ()),
        SamplingInputs(Sampling(temperature=2.0, seed=1), RngStream.TEXT, (1, 2)),
        SamplingInputs(Sampling(repetition_penalty=9.0), RngStream.TEXT, (int(logits[2].argmax()),)),
        SamplingInputs(Sampling(temperature=2.0, seed=1, top_k=3), RngStream.UNITS, (1, 2)),
        SamplingInputs(Sampling(), RngStream.TEXT, (4,)),
    ]
    together = choose(logits, inputs)
    assert together == [choose(logits[i : i + 1], [one])[0] for i, one in enumerate(inputs)]
    assert together[2] != int(logits[2].argmax())


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0), Sampling(repetition_penalty=2.0)])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_row_that_is_not_finite_gives_none_and_leaves_the_others_alone(sampling: Sampling, value: float) -> None:
    logits = torch.randn(3, TOKENS, generator=torch.Generator().manual_seed(0))
    inputs = [SamplingInputs(sampling, RngStream.TEXT, (1, 2))] * 3
    clean = choose(logits, inputs)
    logits[1, 7] = value
    assert choose(logits, inputs) == [clean[0], None, clean[2]]
    logits[1] = -torch.inf
    assert choose(logits, inputs) == [clean[0], None, clean[2]]


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.full((TOKENS,), -torch.inf)
    logits[[3, 8]] = 1.0
    assert set(draw_many(logits, Sampling(temperature=3.0, top_p=0.95))) == {3, 8}


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
        ({"presence_penalty": 2.5}, r"presence_penalty must be in \[-2, 2\], got 2.5"),
        ({"frequency_penalty": -2.5}, r"frequency_penalty must be in \[-2, 2\], got -2.5"),
        ({"frequency_penalty": float("nan")}, "got nan"),
        ({"logit_bias": ((3, 101.0),)}, "got 3: 101.0"),
        ({"logit_bias": ((3, float("nan")),)}, "got 3: nan"),
        ({"logit_bias": ((-1, 1.0),)}, "got -1: 1.0"),
        ({"logit_bias": ((4, 1.0), (3, 1.0), (3, 2.0))}, "each id once, got 3 twice"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_values_outside_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sampling(**values)


def test_a_bias_for_a_token_outside_the_vocabulary_is_named() -> None:
    sampling = Sampling(logit_bias=((3, 1.0), (30, 1.0)))
    sampling.check_vocabulary(31)
    with pytest.raises(ValueError, match=r"token 30: expected ids in \[0, 30\)"):
        sampling.check_vocabulary(30)
