"""Comparison of the models of two runs by a judge, item by item in both orders, resumable as runs are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evaluation.identity import lasting_facts, locked, name_differences, open_run, read_run
from evaluation.items import Answer, Item, items_checksum
from evaluation.run import ShowNamedProgress, is_usable, no_progress, suite_of
from evaluation.scores import Question, Suite
from evaluation.store import JUDGEMENTS, StoredAnswers

if TYPE_CHECKING:
    from evaluation.judges.costs import Budget, Prices

_COMPARED = ("suite", "data_checksum")
"""Facts that must be equal, or the models were not asked the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairwiseRunConfig:
    """``first`` and ``second`` are directories of runs. ``data`` is where the items of their suite are, by default
    where the first run read them. ``judge``, ``seed``, ``budget`` and ``prices`` are as in
    :class:`~evaluation.run.EvaluationConfig`."""

    first: Path
    second: Path
    output: Path
    judge: str = ""
    data: str = ""
    seed: int = 0
    budget: "Budget | None" = None
    prices: "Prices | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Two runs: their facts and answers, what a judge is asked about them, and which part of replies it reads."""

    facts: tuple[dict[str, Any], dict[str, Any]]
    items: list[Item]  # those with questions
    answers: tuple[StoredAnswers, StoredAnswers]
    unanswered: int  # items that one run has and that are not answered in both
    judged: Literal["text", "transcript"]
    questions: list[Question]


def run_pairwise(config: PairwiseRunConfig, *, progress: ShowNamedProgress = no_progress) -> dict[str, Any]:
    """The contents of ``pairwise.json``, which is written to ``output`` with ``pairwise.html``, ``run.json`` and
    ``judgements.jsonl``. What an earlier start judged is not asked for again.

    Raises ``ValueError`` for runs of different suites or data and for what cannot be used,
    ``openai.APIStatusError`` for a refused key.
    """
    from evaluation.judges.asking import collect_judgements
    from evaluation.judges.judge import open_judge
    from evaluation.report.pairwise import build_pairwise_report

    judge = open_judge(config.judge, seed=config.seed)
    paired = pair_runs(config)
    first, second = paired.facts
    identity = {name: first[name] for name in _COMPARED} | {
        "judge": judge.name,
        "seed": config.seed,
        "judged": paired.judged,
        "first": lasting_facts(first),
        "second": lasting_facts(second),
    }
    noted = {"models": [first["model"], second["model"]], "directories": [str(config.first), str(config.second)]}
    with locked(config.output):
        facts = open_run(config.output, identity, **noted)
        judging = partial(progress, name="judging")
        judgements = collect_judgements(judge, paired.questions, config.output / JUDGEMENTS, config.budget, judging)
        return build_pairwise_report(config.output, facts, paired, judgements)


def plan_pairwise(config: PairwiseRunConfig) -> str:
    """The number of items and what judging them would take."""
    from evaluation.judges.costs import TokenCounter, estimate

    paired = pair_runs(config)
    cost = estimate(paired.questions, counter=TokenCounter(), prices=config.prices)
    return f"{len(paired.items):,} items in both orders\n{cost}"


def pair_runs(config: PairwiseRunConfig) -> Paired:
    """The judge reads transcripts where the suite does and the replies of both runs have them, else texts. Items that
    are not answered in both runs, with the transcripts that the suite needs, are left out."""
    from evaluation.judges.pairwise import PairwiseConfig, pair_questions  # SciPy takes a second

    facts = read_run(config.first), read_run(config.second)
    of_first, of_second = ({name: each[name] for name in _COMPARED} for each in facts)
    if differences := list(name_differences(of_first, of_second)):
        raise ValueError(
            f"expected runs of one suite over the same data: from {config.first} to {config.second}, "
            f"{'; '.join(differences)}"
        )
    suite, items = _read_items(config, facts[0])
    answers = StoredAnswers(config.first), StoredAnswers(config.second)
    usable = [_usable_texts(suite, each) for each in answers]
    asked = [item for item in items if all(item.id in each for each in usable)]
    if not asked:
        raise ValueError(f"expected items with answers in both {config.first} and {config.second}, found none")
    replies = [reply for each in usable for item in asked for reply in each[item.id].replies]
    has_transcripts = suite.transcribed and all(reply.transcript is not None for reply in replies)
    judged: Literal["text", "transcript"] = "transcript" if has_transcripts else "text"
    first, second = (list(each.values()) for each in usable)
    return Paired(
        facts=facts,
        items=asked,
        answers=answers,
        unanswered=len({*answers[0].items, *answers[1].items}) - len(asked),
        judged=judged,
        questions=pair_questions(asked, first, second, PairwiseConfig(judged=judged)),
    )


def _read_items(config: PairwiseRunConfig, facts: Mapping[str, Any]) -> tuple[Suite, list[Item]]:
    if not (data := config.data or facts.get("data_path")):
        raise ValueError(f"{config.first} does not note where its data are, expected them by --data")
    suite = suite_of(facts["suite"], facts["options"])
    items = suite.items(data)
    if (checksum := items_checksum(items)) != facts["data_checksum"]:
        raise ValueError(f"{data}: expected the items of the runs, checksum {facts['data_checksum']}, got {checksum}")
    return suite, items


def _usable_texts(suite: Suite, stored: StoredAnswers) -> dict[str, Answer]:
    """By item, without the clips: those of all answers would fill the memory."""
    return {
        answer.item: replace(answer, replies=tuple(replace(reply, audio=b"") for reply in answer.replies))
        for answer in map(stored.answer, stored.items)
        if is_usable(suite, answer)
    }
