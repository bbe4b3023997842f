"""A run of an evaluation: items, answers, transcripts, judgements, scores and the report, each made once."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from data_pipeline.progress import Passed
from data_pipeline.records import RejectedRow
from data_pipeline.service_names import is_http_url
from data_pipeline.synthesis.protocols import Recogniser, Speech
from evaluation.identity import locked, open_run
from evaluation.items import Answer, Item, items_checksum
from evaluation.models import Model, ModelConfig, open_model
from evaluation.scores import JointSuite, Judgement, PublishedSuite, Question, Score, Suite
from evaluation.store import JUDGEMENTS, AnswerStore, StoredTranscript
from opens2s_core.audio import SAMPLE_RATE, decode_audio

if TYPE_CHECKING:
    from evaluation.judges.costs import Budget, Prices

PUBLISHED = "published"
_TRANSCRIBING = 4
"""Clips at once: endpoints are waited for, other recognisers share the cores."""

ShowNamedProgress = Callable[..., AbstractContextManager[Callable[[Passed], None]]]
"""A :data:`~data_pipeline.progress.ShowProgress` that also takes the ``name`` of what is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """``suite`` and its ``options``, as :func:`~evaluation.suites.open_suite` takes them; ``data`` is where its items
    are; ``model`` as :func:`~evaluation.models.open_model` takes it; ``output`` is the directory of the run.

    ``judge`` is ``openai:URL#MODEL``; without one, what needs judgements is not scored, and the same run may be given
    one later. ``recogniser`` is as in :func:`~data_pipeline.synthesis.recognisers.open_recogniser`, for suites with
    transcripts. ``limit`` draws so many items with ``seed``. ``budget`` bounds judging; ``prices`` of the judge are for
    the plan. The others are of :class:`~evaluation.models.ModelConfig`.
    """

    suite: str
    data: str
    model: str
    output: Path
    options: Mapping[str, str] = field(default_factory=dict)
    judge: str = ""
    recogniser: str = ""
    limit: int | None = None
    seed: int = 0
    max_tokens: int = 1024
    voice: str = "default"
    actors: int = 1
    concurrency: int = 1
    budget: "Budget | None" = None
    prices: "Prices | None" = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"expected limit >= 1 or None, got {self.limit}")

    def model_config(self, *, spoken: bool) -> ModelConfig:
        return ModelConfig(
            spoken=spoken,
            max_tokens=self.max_tokens,
            seed=self.seed,
            voice=self.voice,
            actors=self.actors,
            concurrency=self.concurrency,
        )


@contextmanager
def no_progress(rows: int, done: int, *, name: str) -> Iterator[Callable[[Passed], None]]:
    yield lambda passed: None


def run_evaluation(config: EvaluationConfig, *, progress: ShowNamedProgress = no_progress) -> dict[str, Any]:
    """The report, which is also written to the run's directory. What an earlier start of the run finished is not done
    again; answers, transcripts and judgements with errors are tried again.

    Raises ``ValueError`` for a suite, data, model, judge or directory that cannot be used, ``openai.APIStatusError``
    for a refused key.
    """
    from data_pipeline.synthesis.recognisers import open_recogniser
    from evaluation.judges.asking import collect_judgements
    from evaluation.judges.judge import open_judge
    from evaluation.report import build_report

    suite = suite_of(config.suite, config.options)
    all_items = suite.items(config.data)
    items = sampled(all_items, config.limit, config.seed)
    judge = open_judge(config.judge, seed=config.seed) if config.judge else None
    recogniser = open_recogniser(config.recogniser) if suite.transcribed else None
    model = open_model(config.model, config.model_config(spoken=suite.spoken))
    identity = {
        "suite": suite.name,
        "options": dict(config.options),
        "data": suite.describe(config.data, all_items),
        "data_checksum": items_checksum(all_items),
        "model_fingerprint": model.fingerprint,
        "judge": judge.name if judge else "",
        "recogniser": recogniser.name if recogniser else "",
        "limit": config.limit,
        "seed": config.seed,
        "max_tokens": config.max_tokens,
        "voice": config.voice,
    }
    with locked(config.output):
        facts = open_run(config.output, identity, model=config.model, data_path=config.data)
        with AnswerStore(config.output, items) as store:
            answer_items(model, items, store, progress)
            if recogniser is not None:
                transcribe(recogniser, items, store, progress)
            answers = [store.answer(item.id) for item in items]
            if isinstance(suite, PublishedSuite):
                suite.write_published(items, answers, config.output / PUBLISHED, model_name(config.model))
        answered = {answer.item: answer for answer in answers if is_usable(suite, answer)}
        questions, judgements = questions_of(suite, items, answered), list[Judgement]()
        if notes := list(_notes(suite, answered, is_judged=judge is not None or not questions)):
            facts["notes"] = notes
        if judge is None:
            questions = []
        elif questions:
            judging = partial(progress, name="judging")
            judgements = collect_judgements(judge, questions, config.output / JUDGEMENTS, config.budget, judging)
        scores = score_answers(suite, items, answered, judgements)
        return build_report(config.output, facts, suite, items, answers, questions, judgements, scores)


def _notes(suite: Suite, answered: Mapping[str, Answer], *, is_judged: bool) -> Iterator[str]:
    """Why metrics have no value, or one that does not measure what its title names, though nothing failed."""
    if not is_judged:
        yield "No judge was given: what needs one is not scored. The same run may be given one later."
    replies = [reply for answer in answered.values() for reply in answer.replies]
    if suite.spoken and replies and not any(reply.audio for reply in replies):
        yield "The model spoke no reply: what rates speech or its transcript has no value, or that of silence."


def is_usable(suite: Suite, answer: Answer) -> bool:
    """Whether an answer can be scored: it has no error, and a transcript of each spoken reply where the suite reads
    them."""
    is_transcribed = all(reply.transcript is not None for reply in answer.replies if reply.audio)
    return not answer.error and (is_transcribed or not suite.transcribed)


def model_name(spec: str) -> str:
    """The model of an endpoint, or else its host; the last part of a path."""
    if is_http_url(spec):
        url, _, model = spec.partition("#")
        return model or urlsplit(url).netloc
    return spec.rstrip("/").rpartition("/")[2]


def suite_of(name: str, options: Mapping[str, str]) -> Suite:
    """Raises ``ValueError`` for an unknown suite or option."""
    from evaluation.suites import open_suite

    try:
        return open_suite(name, **options)
    except TypeError as error:
        raise ValueError(f"suite {name}: options {sorted(options)}: {error}") from error


def sampled(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """``limit`` of the items in their order, drawn with ``seed`` so that a larger limit has all of a smaller one.

    Items with the same label ``pair`` are drawn together, as many pairs as needed for ``limit`` items or one more:
    metrics of pairs have no value for halves.
    """
    if repeated := [id for id, count in Counter(item.id for item in items).items() if count > 1]:
        raise ValueError(f"{len(repeated)} ids are those of several items, first {repeated[0]!r}: expected unique ids")
    if not items:
        raise ValueError("the suite has no items: expected at least one")
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    members: dict[object, list[int]] = {}
    for index in order:
        members.setdefault(items[index].labels.get("pair") or index, []).append(index)
    drawn: list[int] = []
    for together in members.values():
        if limit is not None and len(drawn) >= limit:
            break
        drawn += together
    return [items[index] for index in sorted(drawn)]


def answer_items(model: Model, items: Sequence[Item], store: AnswerStore, progress: ShowNamedProgress) -> None:
    """Store an answer to each item that has none, or one with an error."""
    missing = store.missing(items)
    with progress(len(items), len(items) - len(missing), name="answering") as passed:
        for answer in model.answers(missing) if missing else ():
            store.add(answer)
            seconds = sum(reply.audio_seconds for reply in answer.replies)
            passed(Passed(rows=1, rejected=int(bool(answer.error)), audio_samples=round(seconds * SAMPLE_RATE)))


def transcribe(recogniser: Recogniser, items: Sequence[Item], store: AnswerStore, progress: ShowNamedProgress) -> None:
    """Store the transcript of each spoken reply that has none, or an error in its place."""
    missing = store.untranscribed(items)

    def attempt(wanted: tuple[Item, int]) -> tuple[StoredTranscript, float]:
        item, turn = wanted
        samples, rate = decode_audio(store.audio(item.id, turn))
        try:
            transcript = recogniser.transcribe(Speech(samples, rate), item.language)
        except RejectedRow as error:
            return StoredTranscript(item=item.id, turn=turn, transcript=None, error=str(error)), 0.0
        return StoredTranscript(item=item.id, turn=turn, transcript=transcript), len(samples) / rate

    with (
        progress(len(missing), 0, name="transcribing") as passed,
        ThreadPoolExecutor(_TRANSCRIBING) as pool,
    ):
        for row, seconds in pool.map(attempt, missing):
            store.add_transcript(row)
            passed(Passed(rows=1, rejected=int(bool(row.error)), audio_samples=round(seconds * SAMPLE_RATE)))


def questions_of(suite: Suite, items: Sequence[Item], answered: Mapping[str, Answer]) -> list[Question]:
    """About the answers without errors, by item."""
    questions = [
        question for item in items if item.id in answered for question in suite.questions(item, answered[item.id])
    ]
    return questions + (suite.joint_questions(items, answered) if isinstance(suite, JointSuite) else [])


def score_answers(
    suite: Suite, items: Sequence[Item], answered: Mapping[str, Answer], judgements: Sequence[Judgement]
) -> list[Score]:
    """The scores of the answers without errors, by item, from the judgements with values."""
    by_question: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        if judgement.value is not None:
            by_question.setdefault(judgement.question, []).append(judgement)

    def of(questions: Sequence[Question]) -> list[Judgement]:
        return [judgement for question in questions for judgement in by_question.get(question.id, ())]

    scores: list[Score] = []
    for item in items:
        if (answer := answered.get(item.id)) is not None:
            scores += suite.scores(item, answer, of(suite.questions(item, answer)))
    if isinstance(suite, JointSuite):
        scores += suite.joint_scores(items, answered, of(suite.joint_questions(items, answered)))
    return scores
