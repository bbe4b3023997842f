"""What judging costs: an estimate before it starts, and a budget that it does not exceed."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from evaluation.scores import Question

CHARACTERS_PER_TOKEN = 4.0
CJK_CHARACTERS_PER_TOKEN = 1.5
TOKENS_PER_MESSAGE = 4
"""Of the markup that chat templates put around a message."""
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")


class TokenCounter:
    """Counts with the judge's ``tokenizer.json``, or a directory that has it. Without, estimates: 4 characters a token,
    1.5 of Chinese, Japanese and Korean."""

    def __init__(self, tokenizer: Path | None = None) -> None:
        if tokenizer is None:
            self._tokenizer, self.method = None, "characters"
            return
        file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
        if not file.is_file():
            raise FileNotFoundError(f"{file}: expected the tokenizer.json of the judge")
        self._tokenizer, self.method = Tokenizer.from_file(str(file)), "tokenizer"

    def count(self, text: str) -> int:
        if self._tokenizer is not None:
            return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        cjk = len(_CJK.findall(text))
        return math.ceil(cjk / CJK_CHARACTERS_PER_TOKEN + (len(text) - cjk) / CHARACTERS_PER_TOKEN)


def prompt_tokens(question: Question, counter: TokenCounter) -> int:
    return sum(TOKENS_PER_MESSAGE + counter.count(message["content"]) for message in question.messages)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Per million tokens."""

    prompt: float
    completion: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        if not (0 <= self.prompt < math.inf and 0 <= self.completion < math.inf):
            raise ValueError(f"expected prices >= 0 per million tokens, got {self.prompt:g} and {self.completion:g}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Of judging without answers that must be requested again. ``completion_tokens`` is the most, where every answer
    has ``max_tokens``; ``least_cost`` is that of the prompts alone. Costs are None without prices."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    method: str  # how tokens were counted: "tokenizer" or "characters"
    least_cost: float | None = None
    most_cost: float | None = None
    currency: str = ""

    def __str__(self) -> str:
        counted = "by the judge's tokenizer" if self.method == "tokenizer" else "by characters"
        tokens = (
            f"{self.answers:,} answers of a judge: {self.prompt_tokens:,} tokens of prompts (estimated {counted}), "
            f"at most {self.completion_tokens:,} of answers"
        )
        if self.least_cost is None or self.most_cost is None:
            return tokens
        return f"{tokens}; {self.least_cost:.4g} to {self.most_cost:.4g} {self.currency}"


def estimate(questions: Iterable[Question], *, counter: TokenCounter, prices: Prices | None = None) -> Estimate:
    """Prompts are counted once for each sample, as requests are."""
    answers = prompts = completions = 0
    for question in questions:
        answers += question.samples
        prompts += question.samples * prompt_tokens(question, counter)
        completions += question.samples * question.max_tokens
    return Estimate(
        answers=answers,
        prompt_tokens=prompts,
        completion_tokens=completions,
        method=counter.method,
        least_cost=None if prices is None else prices.cost(prompts, 0),
        most_cost=None if prices is None else prices.cost(prompts, completions),
        currency="" if prices is None else prices.currency,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The most that judging may use, over all starts of a run: ``tokens`` of prompts and answers, or ``cost`` in the
    currency of ``prices``, or both."""

    tokens: int | None = None
    cost: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        if (self.tokens is None and self.cost is None) or (self.tokens or 0) < 0 or not (self.cost or 0) >= 0:
            raise ValueError(f"expected a budget of tokens >= 0 or a cost >= 0, got {self.tokens} and {self.cost}")
        if self.cost is not None and self.prices is None:
            raise ValueError(f"a budget of cost {self.cost:g} needs prices")

    def allows(self, prompt_tokens: int, completion_tokens: int) -> bool:
        within_tokens = self.tokens is None or prompt_tokens + completion_tokens <= self.tokens
        return within_tokens and (
            self.cost is None or self.prices is None or self.prices.cost(prompt_tokens, completion_tokens) <= self.cost
        )

    def __str__(self) -> str:
        tokens = "" if self.tokens is None else f"{self.tokens:,} tokens"
        cost = "" if self.cost is None or self.prices is None else f"{self.cost:g} {self.prices.currency}"
        return " and ".join(filter(None, (tokens, cost)))


def most_prompt_tokens(question: Question) -> int:
    """No tokenizer that falls back to bytes needs more, and templates with a system prompt of their own seldom do."""
    return 64 + sum(8 + len(message["content"].encode()) for message in question.messages)
