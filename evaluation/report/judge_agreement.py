"""How far the judges of runs agree about the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.jsonl import read_rows
from evaluation.judges.agreement import Agreement, agreement
from evaluation.report.reported_run import ReportedRun
from evaluation.report.text import fact_text
from evaluation.scores import Judgement, Question
from evaluation.store import JUDGEMENTS


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAgreement:
    """On one scale; ``runs`` are labels."""

    runs: tuple[str, str]
    judges: tuple[str, str]
    found: Agreement


def judge_agreements(runs: Sequence[ReportedRun]) -> list[JudgeAgreement]:
    """One for each scale and each two of ``runs`` whose questions about the items of both are the same, and so the
    answers; judges or seeds may differ. Runs without a judgement in common are left out."""
    agreements = []
    for one, other in combinations(runs, 2):
        if not (questions := _same_questions(one, other)):
            continue
        first, second = (read_rows(run.directory / JUDGEMENTS, Judgement) for run in (one, other))
        agreements += [
            JudgeAgreement(
                runs=(one.label, other.label),
                judges=(fact_text(one.report["facts"]["judge"]), fact_text(other.report["facts"]["judge"])),
                found=found,
            )
            for found in agreement(questions, first, second)
            if found.judgements
        ]
    return agreements


def _same_questions(one: ReportedRun, other: ReportedRun) -> list[Question]:
    """Those that both runs have; none where one of them was asked with other words, as about another answer."""
    of_other = {question["id"]: question for question in other.report["questions"]}
    common = [question for question in one.report["questions"] if question["id"] in of_other]
    if any(question != of_other[question["id"]] for question in common):
        return []
    return [
        Question(messages=(), **{name: question[name] for name in ("id", "item", "scale", "samples")})
        for question in common
    ]
