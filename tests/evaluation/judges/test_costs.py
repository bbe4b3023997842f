import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from evaluation.judges.costs import Budget, Prices, TokenCounter, estimate, most_prompt_tokens, prompt_tokens
from tests.evaluation.judges.fake_judge import question

PRICES = Prices(prompt=2, completion=8, currency="EUR")


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("你好吗", 2), ("你好吗 abc", 3), ("안녕", 2)]
)
def test_tokens_are_estimated_by_characters(text: str, tokens: int) -> None:
    assert TokenCounter().count(text) == tokens


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_tokens_are_counted_by_the_tokenizer_of_the_judge(tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counter = TokenCounter(tmp_path / name)
    assert (counter.count("a b unknown a"), counter.method) == (4, "tokenizer")


def test_a_directory_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json: expected the tokenizer\.json of the judge"):
        TokenCounter(tmp_path)


def test_the_estimate_is_of_all_samples() -> None:
    messages = ({"role": "system", "content": "a" * 40}, {"role": "user", "content": "你" * 15})
    asked = [question("a", messages=messages, samples=3, max_tokens=100), question("b", messages=messages[:1])]
    found = estimate(asked, counter=TokenCounter(), prices=PRICES)
    assert (found.answers, found.prompt_tokens, found.completion_tokens) == (4, 3 * (14 + 14) + 14, 350)
    assert found.least_cost == pytest.approx(98 * 2 / 1e6)
    assert found.most_cost == pytest.approx(98 * 2 / 1e6 + 350 * 8 / 1e6)
    assert str(found) == (
        "4 answers of a judge: 98 tokens of prompts (estimated by characters), at most 350 of answers; "
        "0.000196 to 0.002996 EUR"
    )


def test_an_estimate_without_prices_has_no_cost() -> None:
    found = estimate([question("a")], counter=TokenCounter())
    assert (found.least_cost, found.most_cost) == (None, None)
    assert str(found).endswith("at most 50 of answers")


@given(st.text())
def test_no_byte_level_tokenizer_needs_more_than_the_most(text: str) -> None:
    asked = question("a", messages=({"role": "user", "content": text},))
    assert prompt_tokens(asked, TokenCounter()) <= most_prompt_tokens(asked)
    assert len(text.encode()) < most_prompt_tokens(asked)


@pytest.mark.parametrize(
    ("budget", "used", "allowed"),
    [
        (Budget(tokens=10), (4, 6), True),
        (Budget(tokens=10), (5, 6), False),
        (Budget(cost=0.01, prices=PRICES), (1000, 1000), True),
        (Budget(cost=0.01, prices=PRICES), (1001, 1000), False),
        (Budget(tokens=10, cost=1, prices=PRICES), (11, 0), False),
        (Budget(tokens=10**9, cost=0.01, prices=PRICES), (6000, 0), False),
        (Budget(tokens=0), (0, 0), True),
    ],
)
def test_a_budget_allows_what_is_within_it(budget: Budget, used: tuple[int, int], allowed: bool) -> None:
    assert budget.allows(*used) is allowed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected a budget of tokens >= 0 or a cost >= 0, got None and None"),
        ({"tokens": -1}, "got -1 and None"),
        ({"cost": -0.5, "prices": PRICES}, "got None and -0.5"),
        ({"cost": math.nan, "prices": PRICES}, "got None and nan"),
        ({"cost": 3.0}, "a budget of cost 3 needs prices"),
    ],
)
def test_impossible_budgets_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**settings)


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
def test_impossible_prices_are_refused(price: float) -> None:
    with pytest.raises(ValueError, match="expected prices >= 0 per million tokens"):
        Prices(prompt=price, completion=1)


def test_a_budget_is_shown_with_its_currency() -> None:
    assert str(Budget(tokens=5000, cost=2.5, prices=PRICES)) == "5,000 tokens and 2.5 EUR"
