"""A suite of a few items, and its run in a process that a test may kill."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.synthesis.protocols import Speech
from evaluation.items import Answer, Item, Turn
from evaluation.run import EvaluationConfig, run_evaluation
from evaluation.scores import Judgement, Metric, Question, Score


class SmallSuite:
    """``data`` is the number of items. A judge scores replies from 1 to 5; the other metric is the length of the
    transcript."""

    name = "small"
    spoken = transcribed = True
    metrics = (
        Metric(name="judged", title="Judged", unit="of 5"),
        Metric(name="length", title="Length of the transcript"),
    )

    def items(self, data: str) -> list[Item]:
        return [Item(id=f"item-{number}", turns=(Turn(text=f"<{number}>"),)) for number in range(int(data))]

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return {"rows": int(data)}

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        content = f"Score {answer.replies[0].transcript}"
        return [
            Question(id=item.id, item=item.id, messages=({"role": "user", "content": content},), scale="1-5", samples=2)
        ]

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        transcript = answer.replies[0].transcript
        scores = [Score(item=item.id, metric="judged", value=each.value or 0.0) for each in judgements]
        return [*scores, Score(item=item.id, metric="length", value=float(len(transcript or "")))]


class CountingRecogniser:
    """Transcribes a clip as its number of samples, and appends each to the file ``log``."""

    name = "counting"

    def __init__(self, log: Path) -> None:
        self._log = log

    def transcribe(self, speech: Speech, language: str) -> str:
        with self._log.open("a") as file:
            file.write(f"{len(speech.samples)}\n")
        return f"{len(speech.samples)} samples"


def use_small_parts(patched: pytest.MonkeyPatch, log: Path) -> None:
    patched.setattr("evaluation.suites.open_suite", lambda name, **options: SmallSuite(**options))
    patched.setattr("data_pipeline.synthesis.recognisers.open_recogniser", lambda spec: CountingRecogniser(log))


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    output = Path(settings.pop("output"))
    use_small_parts(pytest.MonkeyPatch(), output.with_suffix(".log"))
    run_evaluation(EvaluationConfig(**settings, output=output))
