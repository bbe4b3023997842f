"""What failed in a run: items without answer, replies without transcript, and judgements without value."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.items import Answer
from evaluation.report.text import shorten
from evaluation.scores import Judgement, Question

_EXAMPLES = 3
_REASON = 200
"""Characters by which reasons are distinguished."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """``question``, ``sample`` and ``judge`` are those of a judgement; a question that was never judged has no
    sample."""

    kind: Literal["answer", "transcript", "judgement"]
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


def item_failures(
    answer: Answer, questions: Sequence[Question], judgements: Mapping[str, Sequence[Judgement]], *, transcribed: bool
) -> list[Failure]:
    """``questions`` are those about the answer, ``judgements`` are by question. ``transcribed``: every spoken reply
    should have a transcript."""
    if answer.error:
        return [Failure(kind="answer", item=answer.item, reason=answer.error)]
    failures = [
        Failure(kind="transcript", item=answer.item, reason="not transcribed")
        for reply in answer.replies
        if transcribed and reply.audio and reply.transcript is None
    ]
    for question in questions:
        judged = judgements.get(question.id, ())
        if not judged:
            failures.append(Failure(kind="judgement", item=answer.item, reason="not judged", question=question.id))
        failures.extend(
            Failure(
                kind="judgement",
                item=answer.item,
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
    """Items without answer or a transcript, and those with a question for which no judgement has a value."""
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
