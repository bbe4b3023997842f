"""Answers, judgements and sums of scores, for tests of suites."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.items import Answer, Item, Reply
from evaluation.scores import Judgement, Question, Score, Suite
from tests.audio_files import noise_file

WAV = noise_file("wav", 0.3)
FLAC = noise_file("flac", 0.2)


def write_parquet(path: Path, rows: Sequence[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def text_answer(item: Item, text: str) -> Answer:
    return Answer(item=item.id, replies=(Reply(text=text),))


def spoken_answer(item: Item, *replies: tuple[str, str]) -> Answer:
    """Of texts and their transcripts."""
    return Answer(
        item=item.id,
        replies=tuple(Reply(text=text, audio=FLAC, transcript=transcript) for text, transcript in replies),
    )


def judged(questions: Sequence[Question], values: Sequence[float]) -> list[Judgement]:
    (question,) = questions
    return [
        Judgement(question=question.id, sample=number, judge="fake", text=f"{value:g}", value=value)
        for number, value in enumerate(values)
    ]


def summed(suite: Suite, scores: Sequence[Score]) -> dict[str, float]:
    """The metrics by their definition in :class:`Score` and :class:`Metric`; those without scores are left out."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for score in scores:
        pair = sums[score.metric][score.group]
        pair[0], pair[1] = pair[0] + score.value, pair[1] + score.weight
    found = {}
    for metric in suite.metrics:
        if groups := sums.get(metric.name):
            assert metric.average == "groups" or set(groups) == {""}
            found[metric.name] = metric.scale * sum(value / weight for value, weight in groups.values()) / len(groups)
    assert set(sums) <= {metric.name for metric in suite.metrics}
    return found
