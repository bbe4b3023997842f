"""URO-Bench (Honggao/URO-Bench, 2502.17810): spoken replies, which judges see as transcripts."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from data_pipeline.synthesis.protocols import Speech
from evaluation.items import Answer, Item, Reply
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.judging import JudgePrompt, open_prompt, reasons_of, sampled_question, values_of
from evaluation.suites.speech_classifiers import SpeechClassifier
from evaluation.suites.uro_files import find_test_file, read_items, row_count, write_run
from evaluation.suites.uro_prompts import PROMPTS
from evaluation.suites.uro_sets import PAPER_VALUES, URO_SETS, UroSet
from evaluation.suites.uro_words import normaliser, uro_word_error
from opens2s_core.audio import decode_audio

_REPEATED = 0.5
"""Word error rate up to which words count as repeated."""
_UNKNOWN = "unknown version"


@dataclass(frozen=True, kw_only=True, slots=True)
class UroBench:
    """One set. ``score`` is of 100, the mean over items: 20 times a judge's mean grade, the share of right answers, or
    what :class:`~evaluation.suites.uro_sets.UroSet` describes. A reply without words scores 0, as published."""

    uro_set: UroSet
    prompt: JudgePrompt | None = None  # None: no judge
    classifier: SpeechClassifier | None = None  # of "emotional speech"
    version: str = ""  # of the data, as stated by who downloaded them
    spoken: ClassVar[bool] = True
    transcribed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"uro-{self.uro_set.name.lower()}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        scale = 100.0 if self.uro_set.mode in ("qa", "wer", "emotional speech") else 20.0
        title, paper = f"URO-Bench {self.uro_set.name}", PAPER_VALUES.get(self.uro_set.name, {})
        metrics = []
        if self.uro_set.mode != "performance":
            metrics.append(Metric(name="score", title=title, unit="of 100", scale=scale, paper=paper))
        if self.uro_set.mode == "emotional speech":
            metrics.append(Metric(name="emotion", title="probability of the emotion", unit="%", scale=100.0))
        if self.uro_set.mode != "language":
            error = "CER" if self.uro_set.language == "zh" else "WER"
            metrics.append(Metric(name="asr_wer", title=f"ASR-{error}", unit="%", scale=100.0, higher_is_better=False))
        return tuple(metrics)

    def items(self, data: str) -> list[Item]:
        normaliser(self.uro_set.language)  # raises before the model answers, where a library is missing
        return read_items(data, self.uro_set)

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        files = find_test_file(data, self.uro_set)
        sha256, rows = files.sha256(), row_count(files)
        facts: dict[str, Any] = {
            "sha256": sha256,
            "rows": rows,
            "published_rows": self.uro_set.rows,
            "version": f"{self.version}, as stated" if self.version else self.uro_set.version_of(rows) or _UNKNOWN,
        }
        if self.prompt is not None:
            facts["judge_prompt_sha256"] = self.prompt.sha256
        if self.classifier is not None:
            facts["classifier"] = self.classifier.name
        return facts

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        transcripts = _transcripts(item, answer)
        if self.prompt is None or self._is_empty(transcripts):
            return []
        prompt = self.prompt.fill(_fields(item, transcripts))
        return [sampled_question(item.id, prompt, "yes-no" if self.uro_set.mode == "qa" else "1-5")]

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        transcripts = _transcripts(item, answer)
        scores = []
        if self._is_empty(transcripts):
            scores.append(Score(item=item.id, metric="score", value=0.0, reason="the reply has no words"))
        elif self.prompt is not None:
            if values := values_of(judgements):
                reason = reasons_of(judgements)
                scores.append(Score(item=item.id, metric="score", value=statistics.fmean(values), reason=reason))
        elif self.uro_set.mode == "wer":
            scores.append(self._repetition(item, transcripts[0]))
        elif self.uro_set.mode == "emotional speech":
            scores += self._emotional_speech(item, answer.replies[0], transcripts[0])
        if self.uro_set.mode != "language":
            scores.append(self._speech_error(item, answer, transcripts))
        return scores

    def write_published(self, items: Sequence[Item], answers: Sequence[Answer], directory: Path, model: str) -> Path:
        """See :func:`~evaluation.suites.uro_files.write_run`; the run is in a directory of the model's name."""
        return write_run(self.uro_set, items, answers, directory / model.replace("/", "_"))

    def _is_empty(self, transcripts: Sequence[str]) -> bool:
        """Only single replies are scored 0; judges see dialogues with empty replies."""
        return self.prompt is not None and not self.uro_set.is_dialogue and not transcripts[0]

    def _repetition(self, item: Item, transcript: str) -> Score:
        """The sets' score, share of replies with at most ``_REPEATED`` errors x (1 - their mean error), by item."""
        error = uro_word_error(item.language, transcript, item.references[0])
        value = 1.0 - error if error <= _REPEATED else 0.0
        return Score(item=item.id, metric="score", value=value, reason=f"{100 * error:.1f} % errors: {transcript}")

    def _emotional_speech(self, item: Item, reply: Reply, transcript: str) -> list[Score]:
        assert self.classifier is not None
        probability = 0.0
        if reply.audio:
            probabilities = self.classifier.probabilities(Speech(*decode_audio(reply.audio)))
            if (emotion := item.labels["emotion"]) not in probabilities:
                known = ", ".join(probabilities)
                raise ValueError(f"item {item.id}: {self.classifier.name} does not know {emotion!r}, it knows {known}")
            probability = probabilities[emotion]
        error = min(uro_word_error(item.language, transcript, item.references[0]), 1.0)
        reason = f"{item.labels['emotion']} {100 * probability:.0f} %, {100 * error:.1f} % errors: {transcript}"
        return [
            Score(item=item.id, metric="score", value=probability * (1 - error), reason=reason),
            Score(item=item.id, metric="emotion", value=probability),
        ]

    def _speech_error(self, item: Item, answer: Answer, transcripts: Sequence[str]) -> Score:
        """The mean over the rounds of an item."""
        errors = [
            uro_word_error(item.language, reply.text, transcript)
            for reply, transcript in zip(answer.replies, transcripts, strict=True)
        ]
        return Score(item=item.id, metric="asr_wer", value=statistics.fmean(errors), reason=" / ".join(transcripts))


def open_uro(
    name: str,
    *,
    prompt_file: str | None = None,
    classifier: SpeechClassifier | None = None,
    version: str = "",
) -> UroBench:
    """The suite ``name``, one of ``URO_SETS``. ``prompt_file`` replaces the judge's prompt, see
    :mod:`~evaluation.suites.uro_prompts`; ``version`` names that of the data where its rows do not.

    Raises ``ValueError`` for an unknown set, a prompt file without a judge, and GenEmotion without a ``classifier``.
    """
    if (uro_set := URO_SETS.get(name)) is None:
        raise ValueError(f"unknown set {name!r} of URO-Bench, expected one of {', '.join(URO_SETS)}")
    default = PROMPTS.get(uro_set.mode)
    if default is None and prompt_file is not None:
        raise ValueError(f"{name} asks no judge: expected no prompt file, got {prompt_file!r}")
    if uro_set.mode == "emotional speech" and classifier is None:
        raise ValueError(f"{name} needs a classifier of emotions in speech, got none")
    answers = ("dialogue", "answer3") if uro_set.is_dialogue else ("answer",)
    return UroBench(
        uro_set=uro_set,
        prompt=None if default is None else open_prompt(prompt_file, default, answers),
        classifier=classifier if uro_set.mode == "emotional speech" else None,
        version=version,
    )


def _transcripts(item: Item, answer: Answer) -> list[str]:
    """Of each reply, empty where it was not spoken. Raises ``ValueError`` where speech was not transcribed."""
    for reply in answer.replies:
        if reply.audio and reply.transcript is None:
            raise ValueError(f"item {item.id}: expected a transcript of the spoken reply, got none")
    return [(reply.transcript or "").strip() for reply in answer.replies]


def _fields(item: Item, transcripts: Sequence[str]) -> dict[str, str]:
    """What a prompt may name."""
    rounds = list(zip(item.turns, transcripts, item.references, strict=True))
    fields = {
        "question": item.turns[0].text,
        "answer": transcripts[0],
        "reference": item.references[0],
        "emotion": item.labels.get("emotion", ""),
        "style": item.labels.get("style", ""),
        "language": item.labels.get("requirement", ""),
        "dialogue": "\n\n".join(
            f"Round {number}\nUser: {turn.text}\nAssistant: {transcript}\nExample of a good answer: {reference}"
            for number, (turn, transcript, reference) in enumerate(rounds, 1)
        ),
    }
    for number, (turn, transcript, reference) in enumerate(rounds, 1):
        fields |= {f"question{number}": turn.text, f"answer{number}": transcript, f"reference{number}": reference}
    return fields
