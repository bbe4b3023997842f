"""Items of a run to read and to listen to: which ones, and what is shown of each."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.items import Answer, Item, Turn
from evaluation.report.clips import Clip, ClipEncoder
from evaluation.report.text import fact_text, shorten, with_unit
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.statistics import item_values

EXAMPLES = 20
SEED = 0
TEXT = 2000
"""Characters of a text that are shown."""
_ENTRIES = 12
"""Turns, references, labels or judgements of an item that are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleTurn:
    """A message of the user and the reply to it, or None without one."""

    text: str
    clip: Clip | None
    reply: str | None
    transcript: str | None
    reply_clip: Clip | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleJudgement:
    judge: str
    value: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """An item as a page shows it; all texts are bounded."""

    id: str
    labels: tuple[str, ...]
    scores: tuple[tuple[str, str], ...]
    system: str
    turns: tuple[ExampleTurn, ...]
    error: str
    references: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]  # title of the metric, words
    judgements: tuple[ExampleJudgement, ...]
    questions: tuple[str, ...]


def choose_worst(metric: Metric, scores: Sequence[Score]) -> list[str]:
    """Ids of the :data:`EXAMPLES` items with the worst values of ``metric``, worst first. Equal ones are in a random
    order that depends on the set of items alone."""
    values = item_values(metric, scores)
    ids = sorted(values)
    random.Random(SEED).shuffle(ids)
    return sorted(ids, key=lambda item: values[item], reverse=not metric.higher_is_better)[:EXAMPLES]


def choose_random(items: Sequence[str]) -> list[str]:
    """:data:`EXAMPLES` ids, the same for all runs over the same set of items."""
    return random.Random(SEED).sample(sorted(items), min(EXAMPLES, len(items)))


def build_example(
    item: Item,
    answer: Answer | None,
    metrics: Sequence[Metric],
    scores: Sequence[Score],
    questions: Sequence[Question],
    judgements: Mapping[str, Sequence[Judgement]],
    encoder: ClipEncoder,
) -> Example:
    """``scores`` and ``questions`` are those of the item, ``judgements`` are by question."""
    by_metric = [(metric, [score for score in scores if score.metric == metric.name]) for metric in metrics]
    judged = [judgement for question in questions for judgement in judgements.get(question.id, ())]
    labels = [item.category, item.language, *(f"{name}: {fact_text(value)}" for name, value in item.labels.items())]
    return Example(
        id=shorten(item.id, 120),
        labels=tuple(shorten(label, 80) for label in labels if label)[:_ENTRIES],
        scores=tuple(
            (metric.title, with_unit(item_values(metric, each).get(item.id), metric))
            for metric, each in by_metric
            if each
        ),
        system=shorten(item.system, TEXT),
        turns=example_turns(item, answer, encoder),
        error=shorten(answer.error, TEXT) if answer else "not answered",
        references=tuple(shorten(reference, TEXT) for reference in item.references[:_ENTRIES]),
        reasons=tuple(
            (metric.title, shorten(score.reason, TEXT)) for metric, each in by_metric for score in each if score.reason
        )[:_ENTRIES],
        judgements=tuple(
            ExampleJudgement(
                judge=judgement.judge,
                value="no value" if judgement.value is None else f"{judgement.value:g}",
                text=shorten(judgement.text or judgement.error, TEXT),
            )
            for judgement in judged[:_ENTRIES]
        ),
        questions=tuple(
            shorten("\n\n".join(f"{message['role']}: {message['content']}" for message in question.messages), 2 * TEXT)
            for question in questions[:_ENTRIES]
        ),
    )


def example_turns(item: Item, answer: Answer | None, encoder: ClipEncoder) -> tuple[ExampleTurn, ...]:
    return tuple(_turn(turn, answer, index, encoder) for index, turn in enumerate(item.turns[:_ENTRIES]))


def _turn(turn: Turn, answer: Answer | None, index: int, encoder: ClipEncoder) -> ExampleTurn:
    reply = answer.replies[index] if answer and index < len(answer.replies) else None
    return ExampleTurn(
        text=shorten(turn.text, TEXT),
        clip=encoder.encode(turn.audio) if turn.audio else None,
        reply=None if reply is None else shorten(reply.text, TEXT),
        transcript=None if reply is None or reply.transcript is None else shorten(reply.transcript, TEXT),
        reply_clip=encoder.encode(reply.audio) if reply and reply.audio else None,
    )
