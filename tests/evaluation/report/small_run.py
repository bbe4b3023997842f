"""Runs of a small suite, with the parts of a report that depend on them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.report import build_report
from evaluation.scores import Judgement, Metric, Question, Score
from opens2s_core.audio import encode_audio

QUALITY = Metric(name="quality", title="Judged quality", unit="of 5", paper={"OpenS2S": 4.09, "Other": 3.5})
WER = Metric(name="wer", title="Word error", unit="%", scale=100, higher_is_better=False)
FACTS: dict[str, Any] = {
    "model": "demo",
    "model_fingerprint": "sha256:0123abcd",
    "data_checksum": "sha256:4567ef01",
    "judge": {"model": "gpt-4o-mini", "temperature": 0.5},
    "recogniser": "whisper-large-v3",
    "commit": "ab6a200",
    "date": "2026-11-28",
    "seed": 7,
}


def clip(seconds: float = 0.5, rate: int = 24_000, frequency: float = 440.0) -> bytes:
    """A tone."""
    return encode_audio(0.2 * np.sin(2 * np.pi * frequency / rate * np.arange(round(rate * seconds))), rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallSuite:
    """Quality is the mean of two samples of a judge, word error one error of four words of each item."""

    name: str = "small"
    metrics: tuple[Metric, ...] = (QUALITY, WER)
    spoken: bool = True
    transcribed: bool = True

    def items(self, data: str) -> list[Item]:
        raise NotImplementedError

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        raise NotImplementedError

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        content = f"How good is this reply?\n{answer.replies[-1].text}"
        return [
            Question(
                id=f"{item.id}:quality", item=item.id, messages=({"role": "user", "content": content},), scale="1-5"
            )
        ]

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        quality = [
            Score(item=item.id, metric="quality", value=judgement.value)
            for judgement in judgements
            if judgement.value is not None
        ]
        return [*quality, Score(item=item.id, metric="wer", value=1, weight=4, reason="one of four words")]


@dataclass(kw_only=True)
class SmallRun:
    """What :func:`~evaluation.report.build_report` is given; ``values`` has the judge's two values of each item, None
    for a judgement without value."""

    items: list[Item] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    values: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=lambda: FACTS)
    suite: SmallSuite = field(default_factory=SmallSuite)

    def judgements(self) -> list[Judgement]:
        return [
            Judgement(
                question=f"{item}:quality",
                sample=sample,
                judge="gpt-4o-mini",
                value=value,
                text=f"Rating: {value}" if value is not None else "",
                error="" if value is not None else "no rating in the text",
            )
            for item, pair in self.values.items()
            for sample, value in enumerate(pair)
        ]

    def report(self, directory: Path) -> dict[str, Any]:
        answers, judgements = {answer.item: answer for answer in self.answers}, self.judgements()
        judged = defaultdict(list)
        for judgement in judgements:
            judged[judgement.question].append(judgement)
        scores = [
            score
            for item in self.items
            if item.id in answers and not answers[item.id].error
            for score in self.suite.scores(item, answers[item.id], judged[f"{item.id}:quality"])
        ]
        return build_report(
            directory, self.facts, self.suite, self.items, self.answers, self.questions(), judgements, scores
        )

    def questions(self) -> list[Question]:
        items = {item.id: item for item in self.items}
        return [
            question
            for answer in {answer.item: answer for answer in self.answers}.values()
            if not answer.error and answer.item in items
            for question in self.suite.questions(items[answer.item], answer)
        ]


def small_run(count: int, *, audio: bool = False, change: float = 0.0, **settings: Any) -> SmallRun:
    """``count`` items of three categories; the judge's values are 1 to 5 in turn, plus ``change``."""
    categories = ("happy", "neutral", "sad")
    items = [
        Item(
            id=f"item-{n:05}",
            turns=(Turn(text=f"Question number {n}?", audio=clip(frequency=200 + n) if audio and n < 50 else b""),),
            category=categories[n % 3],
            references=(f"Reference {n}.",),
            labels={"emotion": categories[n % 3]},
        )
        for n in range(count)
    ]
    answers = [
        Answer(
            item=item.id,
            replies=(
                Reply(
                    text=f"Reply number {n}.",
                    audio=clip(frequency=300 + n) if audio and n < 50 else b"",
                    transcript=f"reply number {n}",
                ),
            ),
        )
        for n, item in enumerate(items)
    ]
    values = {item.id: (n % 5 + 1 + change, (n + 1) % 5 + 1 + change) for n, item in enumerate(items)}
    return SmallRun(items=items, answers=answers, values=values, **settings)


def with_text(run: SmallRun, text: str) -> SmallRun:
    """The run with ``text`` wherever text of others stands."""
    metrics = tuple(replace(metric, title=f"{metric.title} {text}", paper={text: 1.0}) for metric in run.suite.metrics)
    return SmallRun(
        items=[
            replace(item, turns=(Turn(text=text),), category=text + item.category, system=text, references=(text,))
            for item in run.items
        ],
        answers=[
            replace(answer, replies=tuple(replace(reply, text=text, transcript=text) for reply in answer.replies))
            for answer in run.answers[:-1]
        ]
        + [Answer(item=run.items[-1].id, error=text)],
        values=run.values,
        facts=dict.fromkeys(run.facts, text),
        suite=SmallSuite(name=text, metrics=metrics),
    )


class HtmlPage(HTMLParser):
    """What a browser finds in a page: start tags with attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
