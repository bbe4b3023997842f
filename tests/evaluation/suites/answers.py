"""Answers and judgements for the tests of suites."""

from collections.abc import Sequence
from typing import Any

from evaluation.items import Answer, Reply
from evaluation.scores import Judgement, Metric, Question, Score


def answer(item: str, *texts: str, **values: Any) -> Answer:
    return Answer(item=item, replies=tuple(Reply(text=text, **values) for text in texts))


def judged(question: str, value: float | None, sample: int = 0, text: str = "") -> Judgement:
    return Judgement(question=question, sample=sample, judge="test", text=text, value=value)


def all_judged(questions: Sequence[Question], value: float) -> list[Judgement]:
    return [judged(question.id, value, sample) for question in questions for sample in range(question.samples)]


def values(scores: Sequence[Score]) -> dict[str, float]:
    """Sum of the values by sum of the weights, by metric."""
    names = {score.metric for score in scores}
    return {name: _mean([score for score in scores if score.metric == name]) for name in names}


def _mean(scores: Sequence[Score]) -> float:
    return sum(score.value for score in scores) / sum(score.weight for score in scores)


def assert_known(scores: Sequence[Score], metrics: Sequence[Metric]) -> None:
    assert {score.metric for score in scores} <= {metric.name for metric in metrics}
