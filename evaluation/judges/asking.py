"""Asking a judge all questions of a run, so that it can be killed and started again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path

from data_pipeline.progress import Passed, ShowProgress
from evaluation.jsonl import JsonlWriter, read_rows
from evaluation.judges.costs import Budget, most_prompt_tokens
from evaluation.judges.judge import Judge
from evaluation.scores import Judgement, Question

_NO_ANSWER = "no answer: "
_OUTAGE = 3
"""Questions without an answer, one after the other in every thread, that end the job."""


class BudgetReached(ValueError):
    """The next question could exceed the budget. What was finished is in the file."""


class JudgeUnavailable(ValueError):
    """The judge gave no answer to many questions one after the other."""


def latest(rows: Iterable[Judgement]) -> dict[tuple[str, int], Judgement]:
    """The rows of a judge's file by question and sample. Of several for one, those before the last are failures."""
    return {(row.question, row.sample): row for row in rows}


def collect_judgements(
    judge: Judge,
    questions: Sequence[Question],
    path: Path,
    budget: Budget | None = None,
    progress: ShowProgress | None = None,
) -> list[Judgement]:
    """The judgements of all samples of ``questions``, in their order; those with an error could not be had.

    Each is appended to ``path`` when it is finished. Those that are there with a value are not asked for again, those
    with an error are. Raises :class:`BudgetReached`, :class:`JudgeUnavailable` where three times as many questions as
    are asked at once got no answer in a row, and what :meth:`~evaluation.judges.judge.Judge.ask` raises; questions that
    were being asked are finished first, and none is lost but those of a killed process.
    """
    if repeated := [name for name, count in Counter(question.id for question in questions).items() if count > 1]:
        raise ValueError(f"question {repeated[0]!r} is there more than once, expected unique ids")
    rows = [row for row in read_rows(path, Judgement) if row.judge == judge.name]
    found = latest(rows)
    wanted = [(question, sample) for question in questions for sample in range(question.samples)]
    open_ones = [(question, sample) for question, sample in wanted if not _has_value(found.get((question.id, sample)))]
    spending = _Spending(budget, judge.attempts)
    for row in rows:
        spending.add(row)
    done = len(wanted) - len(open_ones)
    shown = nullcontext(lambda _: None) if progress is None else progress(len(wanted), done)
    with JsonlWriter(path) as writer, shown as passed:
        for row in _ask_all(judge, open_ones, spending):
            writer.append(row)
            found[row.question, row.sample] = row
            passed(Passed(rows=1, rejected=int(not _has_value(row)), audio_samples=0))
    return [found[question.id, sample] for question, sample in wanted]


def describe_failures(judgements: Sequence[Judgement]) -> str:
    """Of those with an error: how many of each kind, and the first in full. Empty without failures."""
    failed = [judgement for judgement in judgements if not _has_value(judgement)]
    if not failed:
        return ""
    kinds = Counter(judgement.error.partition(":")[0] for judgement in failed)
    counts = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
    first = failed[0]
    return (
        f"{len(failed):,} of {len(judgements):,} judgements failed ({counts}); the first, question {first.question!r} "
        f"sample {first.sample}: {first.error}"
    )


def _has_value(judgement: Judgement | None) -> bool:
    return judgement is not None and judgement.value is not None


class _Spending:
    """Tokens that were used, and the most that the questions being asked may use."""

    def __init__(self, budget: Budget | None, attempts: int) -> None:
        self._budget, self._attempts = budget, attempts
        self._prompt = self._completion = 0
        self._pending_prompt = self._pending_completion = 0

    def add(self, judgement: Judgement) -> None:
        self._prompt += judgement.prompt_tokens
        self._completion += judgement.completion_tokens

    def allows(self, question: Question) -> bool:
        prompt, completion = self._most(question)
        return self._budget is None or self._budget.allows(
            self._prompt + self._pending_prompt + prompt, self._completion + self._pending_completion + completion
        )

    def begin(self, question: Question) -> None:
        prompt, completion = self._most(question)
        self._pending_prompt += prompt
        self._pending_completion += completion

    def end(self, question: Question) -> None:
        prompt, completion = self._most(question)
        self._pending_prompt -= prompt
        self._pending_completion -= completion

    def reached(self, left: int) -> BudgetReached:
        return BudgetReached(
            f"the budget of {self._budget} allows no further question: {self._prompt + self._completion:,} tokens are "
            f"used, {left:,} judgements are left; start again with a larger budget to ask for them"
        )

    def _most(self, question: Question) -> tuple[int, int]:
        return self._attempts * most_prompt_tokens(question), self._attempts * question.max_tokens


def _ask_all(judge: Judge, wanted: Sequence[tuple[Question, int]], spending: _Spending) -> Iterator[Judgement]:
    """In the order in which they are finished. An error is raised after all that was being asked."""
    left = list(reversed(wanted))
    running: dict[Future[Judgement], Question] = {}
    error: Exception | None = None
    unanswered = 0
    with ThreadPoolExecutor(judge.concurrency) as pool:
        while True:
            while left and error is None and len(running) < judge.concurrency and spending.allows(left[-1][0]):
                question, sample = left.pop()
                spending.begin(question)
                running[pool.submit(judge.ask, question, sample)] = question
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                spending.end(running.pop(future))
                try:
                    judgement = future.result()
                except Exception as raised:  # noqa: BLE001 - raised below, when the others are finished
                    error = error or raised
                    continue
                spending.add(judgement)
                yield judgement
                unanswered = unanswered + 1 if judgement.error.startswith(_NO_ANSWER) else 0
                if unanswered >= _OUTAGE * judge.concurrency and left:
                    error = error or JudgeUnavailable(
                        f"judge {judge.name}: {unanswered} questions in a row got no answer, the last: "
                        f"{judgement.error}; {len(left):,} judgements are left"
                    )
    if error is not None:
        raise error
    if left:
        raise spending.reached(len(left))
