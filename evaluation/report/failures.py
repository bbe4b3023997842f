"""What failed in a run: items without answer, and judgements without value."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.items import Answer, Item
from evaluation.report.text import shorten
from evaluation.scores import Judgement, Question

_EXAMPLES = 3
_REASON = 200
"""Characters by which reasons are told apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """``question``, ``sample`` and ``judge`` are those of a judgement; a question that was never judged has no
    sample."""

    kind: Literal["answer", "judgement"]
    item: str
    reason: str
    question: str = ""
    sample: int | None = None
    judge: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureKind:
    """Failures of one reason, and the items of the first of them."""

    kind: str
    reason: str
    count: int
    items: tuple[str, ...]


def find_failures(
    items: Sequence[Item],
    answers: Mapping[str, Answer],
    questions: Mapping[str, Sequence[Question]],
    judgements: Mapping[str, Sequence[Judgement]],
) -> list[Failure]:
    """In the order of items. ``questions`` are by item, ``judgements`` by question."""
    failures = []
    for item in items:
        answer = answers.get(item.id)
        if answer is None or answer.error:
            reason = answer.error if answer else "not answered"
            failures.append(Failure(kind="answer", item=item.id, reason=reason))
            continue
        for question in questions[item.id]:
            judged = judgements.get(question.id, ())
            if not judged:
                failures.append(Failure(kind="judgement", item=item.id, reason="not judged", question=question.id))
            failures.extend(
                Failure(
                    kind="judgement",
                    item=item.id,
                    reason=judgement.error or "no value",
                    question=question.id,
                    sample=judgement.sample,
                    judge=judgement.judge,
                )
                for judgement in judged
                if judgement.value is None
            )
    return failures


def failed_items(failures: Iterable[Failure], judgements: Mapping[str, Sequence[Judgement]]) -> set[str]:
    """Items without answer, and those with a question for which no judgement has a value."""
    return {
        failure.item
        for failure in failures
        if failure.kind == "answer"
        or all(judgement.value is None for judgement in judgements.get(failure.question, ()))
    }


def group_failures(failures: Iterable[Failure]) -> list[FailureKind]:
    """By kind and the beginning of the reason, most frequent first."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for failure in failures:
        groups[failure.kind, shorten(" ".join(failure.reason.split()), _REASON)].append(failure.item)
    kinds = [
        FailureKind(kind=kind, reason=reason, count=len(items), items=tuple(dict.fromkeys(items))[:_EXAMPLES])
        for (kind, reason), items in groups.items()
    ]
    return sorted(kinds, key=lambda each: (-each.count, each.kind, each.reason))
