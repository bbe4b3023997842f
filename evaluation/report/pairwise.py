"""The report of a comparison of two models by a judge."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.items import Answer, Item
from evaluation.judges.asking import describe_failures
from evaluation.judges.intervals import Interval
from evaluation.judges.pairwise import compare_pairs
from evaluation.report.clips import ClipEncoder
from evaluation.report.examples import TEXT, ExampleTurn, choose_random, example_turns
from evaluation.report.page import render
from evaluation.report.text import fact_text, number_labels, shorten, to_json, write_text
from evaluation.scores import Judgement

if TYPE_CHECKING:
    from evaluation.pairwise_run import Paired

_SHARES = ("wins", "ties", "losses", "position_bias", "prefers_first")
_RUN_FACTS = ("model_fingerprint", "recogniser", "date")
_FACTS = ("judge", "judged", "data_checksum", "seed", "commit", "date")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairExample:
    """An item with the turns of both runs; ``verdicts`` are what the judge preferred in each order, and its words."""

    id: str
    outcome: str
    system: str
    turns: tuple[tuple[ExampleTurn, ExampleTurn], ...]
    verdicts: tuple[tuple[str, str], ...]


def build_pairwise_report(
    directory: Path, facts: Mapping[str, Any], paired: "Paired", judgements: Sequence[Judgement]
) -> dict[str, Any]:
    """Writes ``pairwise.json`` and ``pairwise.html`` into ``directory``; returns the contents of the former::

    suite, facts   the name of the suite; those of ``run.json``
    labels         names of the two models
    counts         judged (items with verdicts in both orders), unjudged, unanswered (not in both runs), judgements,
                   judgements_without_value
    wins, ties, losses, position_bias, prefers_first   shares of the judged items for the first run, as in
                   :class:`~evaluation.judges.pairwise.Comparison`: value, low, high
    failures       a sentence about judgements without value, or empty
    outcomes       "win", "tie" or "loss" of the first run, by item
    random         ids of the items that are shown
    """
    found = compare_pairs(paired.questions, judgements)
    labels = number_labels([fact_text(model) for model in facts["models"]])
    shown = choose_random([item.id for item in paired.items])
    report = {
        "suite": facts["suite"],
        "facts": dict(facts),
        "labels": labels,
        "counts": {
            "judged": found.items,
            "unjudged": found.unjudged,
            "unanswered": paired.unanswered,
            "judgements": len(judgements),
            "judgements_without_value": sum(each.value is None for each in judgements),
        },
        **{name: asdict(getattr(found, name)) for name in _SHARES},
        "failures": describe_failures(judgements),
        "outcomes": dict(found.outcomes),
        "random": shown,
    }
    page = render(
        "pairwise.html",
        report=report,
        labels=labels,
        shares={name: _percent(getattr(found, name)) for name in _SHARES},
        facts=[(name.replace("_", " "), fact_text(facts[name])) for name in _FACTS],
        runs=[
            [(name.replace("_", " "), fact_text(run[name])) for name in _RUN_FACTS] + [("commit", commit)]
            for run, commit in zip(
                (facts["first"], facts["second"]), (run["commit"] for run in paired.facts), strict=True
            )
        ],
        examples=_examples(paired, shown, labels, found.outcomes, judgements),
    )
    write_text(directory / "pairwise.json", to_json(report))
    write_text(directory / "pairwise.html", page)
    return report


def _percent(share: Interval) -> Interval:
    value, low, high = (None if each is None else 100 * each for each in (share.value, share.low, share.high))
    return Interval(value=value, low=low, high=high)


def _examples(
    paired: "Paired",
    shown: Sequence[str],
    labels: Sequence[str],
    outcomes: Mapping[str, str],
    judgements: Sequence[Judgement],
) -> list[PairExample]:
    items = {item.id: item for item in paired.items}
    asked, judged, encoder = defaultdict(list), defaultdict(list), ClipEncoder()
    for question in paired.questions:
        asked[question.item].append(question)
    for judgement in judgements:
        judged[judgement.question].append(judgement)
    return [
        PairExample(
            id=shorten(name, 120),
            outcome=_outcome(outcomes.get(name), labels),
            system=shorten(items[name].system, TEXT),
            turns=_turns(items[name], [answers.answer(name) for answers in paired.answers], encoder),
            verdicts=tuple(
                _verdict(judgement, order)
                for question, order in zip(asked[name], (labels, labels[::-1]), strict=True)
                for judgement in judged[question.id]
            ),
        )
        for name in shown
    ]


def _outcome(outcome: str | None, labels: Sequence[str]) -> str:
    match outcome:
        case "win":
            return f"{labels[0]} wins"
        case "loss":
            return f"{labels[1]} wins"
        case "tie":
            return "tie"
        case _:
            return "not judged"


def _turns(item: Item, answers: Sequence[Answer], encoder: ClipEncoder) -> tuple[tuple[ExampleTurn, ExampleTurn], ...]:
    """The clips of the user are in the turns of the first run alone."""
    without_clips = replace(item, turns=tuple(replace(turn, audio=b"") for turn in item.turns))
    first, second = example_turns(item, answers[0], encoder), example_turns(without_clips, answers[1], encoder)
    return tuple(zip(first, second, strict=True))


def _verdict(judgement: Judgement, order: Sequence[str]) -> tuple[str, str]:
    """``order`` has the labels of the replies that the judge saw as A and B."""
    if judgement.value is None:
        verdict = "no verdict"
    else:
        verdict = {1.0: f"prefers {order[0]}", 0.0: f"prefers {order[1]}"}.get(judgement.value, "prefers neither")
    return f"{order[0]} as A, {order[1]} as B: {verdict}", shorten(judgement.text or judgement.error, TEXT)
