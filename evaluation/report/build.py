"""The report of one run."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from evaluation.items import Answer, Item
from evaluation.report.clips import ClipEncoder
from evaluation.report.examples import build_example, choose_random, choose_worst
from evaluation.report.failures import Failure, failed_items, group_failures, item_failures
from evaluation.report.page import category_plots, render
from evaluation.report.text import check_facts, provenance, to_json, with_unit, write_text
from evaluation.scores import Judgement, Metric, Question, Score, Suite
from evaluation.statistics import CONFIDENCE, REPLICATES, SEED, Summary, summarise


def build_report(
    directory: Path,
    facts: Mapping[str, Any],
    suite: Suite,
    items: Sequence[Item],
    answers: Iterable[Answer],
    questions: Sequence[Question],
    judgements: Iterable[Judgement],
    scores: Iterable[Score],
) -> dict[str, Any]:
    """Writes ``report.json`` and ``report.html`` into ``directory``; returns the contents of the former.

    ``questions`` are all those that judges were asked. ``facts`` are JSON values about the run; those of
    :data:`~evaluation.report.text.REQUIRED` must be there, and ``notes`` may, sentences that stand above the numbers.
    Of two answers to an item, or judgements of one question, sample and judge, the later one counts. The keys of
    ``report.json``::

        suite         the name of the suite
        facts         those given: model, model_fingerprint, data_checksum, judge, recogniser, commit, date, ...
        counts        items, answered, questions, judgements, judgements_without_value
        interval      method, confidence, replicates, seed
        metrics       for each metric, the headline first: name, title, unit, scale, higher_is_better, average, paper;
                      value, low, high (null: none), items (with a score), missing (without one, for a failure);
                      categories: the same five by category
        failures      kind ("answer", "transcript" or "judgement"), item, reason, question, sample, judge
        worst, random ids of the items that are shown
        items         id to category, of all items of the run
        questions     id, item, scale, samples, and the SHA-256 of the messages, of each question to judges
        scores        item, metric, value, weight, group

    ``answers`` may be a generator: not all clips are in memory at a time. Raises ``ValueError`` for absent facts, an
    answer to an unknown item, and as :func:`~evaluation.statistics.summarise` does.
    """
    check_facts(facts)
    by_id = {item.id: item for item in items}
    scores = sorted(scores, key=lambda score: (score.item, score.metric))
    headline = suite.metrics[0]
    worst = choose_worst(headline, [score for score in scores if score.metric == headline.name])
    shown = choose_random(list(by_id))
    latest = {(each.question, each.sample, each.judge): each for each in judgements}
    judged = defaultdict(list)
    for key in sorted(latest):
        judged[key[0]].append(latest[key])
    answered: dict[str, Answer] = {}
    asked = defaultdict(list)
    for question in questions:
        asked[question.item].append(question)
    failed = {item.id: [Failure(kind="answer", item=item.id, reason="not answered")] for item in items}
    for answer in answers:
        if answer.item not in by_id:
            raise ValueError(f"expected an answer to an item of the run, got item {answer.item!r}")
        failed[answer.item] = item_failures(answer, asked[answer.item], judged, transcribed=suite.transcribed)
        # Clips of all answers are large: those that are not shown are not kept.
        answered[answer.item] = answer if answer.item in {*worst, *shown} else replace(answer, replies=())
    failures = [failure for item in items for failure in failed[item.id]]
    categories = {item.id: item.category for item in items}
    summaries = summarise(suite.metrics, scores, categories, failed_items(failures, judged))
    report = {
        "suite": suite.name,
        "facts": dict(facts),
        "counts": {
            "items": len(items),
            "answered": sum(not answer.error for answer in answered.values()),
            "questions": len(questions),
            "judgements": sum(map(len, judged.values())),
            "judgements_without_value": sum(each.value is None for each in latest.values()),
        },
        "interval": {"method": "bootstrap", "confidence": CONFIDENCE, "replicates": REPLICATES, "seed": SEED},
        "metrics": [_metric(summary) for summary in summaries],
        "failures": [asdict(failure) for failure in failures],
        "worst": worst,
        "random": shown,
        "items": categories,
        "questions": [_question(question) for question in questions],
        "scores": [
            {name: getattr(score, name) for name in ("item", "metric", "value", "weight", "group")} for score in scores
        ],
    }
    by_item = defaultdict(list)
    for score in scores:
        by_item[score.item].append(score)
    encoder = ClipEncoder()
    examples = {
        name: build_example(by_id[name], answered.get(name), suite.metrics, by_item[name], asked[name], judged, encoder)
        for name in dict.fromkeys([*worst, *shown])
    }
    page = render(
        "report.html",
        report=report,
        headline=summaries[0],
        headline_value=with_unit(summaries[0].overall.value, headline),
        summaries=summaries,
        models=list(dict.fromkeys(model for metric in suite.metrics for model in metric.paper)),
        provenance=provenance(facts),
        plots=category_plots(
            suite.metrics,
            [[summary.overall] for summary in summaries],
            [[summary.categories] for summary in summaries],
        ),
        failures=group_failures(failures),
        examples=examples,
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "report.json", to_json(report))
    write_text(directory / "report.html", page)
    return report


def _question(question: Question) -> dict[str, Any]:
    messages = json.dumps([dict(message) for message in question.messages], sort_keys=True)
    fields = {name: getattr(question, name) for name in ("id", "item", "scale", "samples")}
    return fields | {"sha256": hashlib.sha256(messages.encode()).hexdigest()}


def _metric(summary: Summary) -> dict[str, Any]:
    return (
        {field.name: getattr(summary.metric, field.name) for field in fields(Metric)}
        | {"paper": dict(summary.metric.paper)}
        | asdict(summary.overall)
        | {"categories": {name: asdict(estimate) for name, estimate in summary.categories.items()}}
    )
