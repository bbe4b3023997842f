"""Scores of answers, and the questions to judges that some of them need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from evaluation.items import Answer, Item


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One number for one item. A metric is ``scale`` x sum of ``value`` / sum of ``weight`` over items, so that a mean
    has weight 1 and a corpus word error rate has errors and words. ``group`` is the class of metrics that are averaged
    over classes."""

    item: str
    metric: str
    value: float
    weight: float = 1.0
    group: str = ""
    reason: str = ""  # for people: a judge's words, a transcript with its errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """How the scores of one name are summed up and shown."""

    name: str
    title: str
    unit: str = ""  # "%", "s", "of 5"
    scale: float = 1.0
    higher_is_better: bool = True
    average: Literal["items", "groups"] = "items"
    """``groups``: the mean over groups of the mean of each, as in unweighted accuracy."""
    paper: Mapping[str, float] = field(default_factory=dict)
    """Published values by the name of the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a judge is asked about one item. ``samples`` answers are drawn, with seeds 0 to ``samples`` - 1."""

    id: str  # unique in the run
    item: str
    messages: tuple[Mapping[str, str], ...]  # role and content
    scale: Literal["1-5", "0-100", "yes-no", "choice", "pair"]
    choices: tuple[str, ...] = ()  # of "choice"
    samples: int = 1
    temperature: float = 0.0
    top_p: float | None = None
    max_tokens: int = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """One answer of a judge: its text as it came, and the value in it. ``yes-no`` is 1 or 0; ``choice`` is the index of
    the choice; ``pair`` is 1, 0.5 or 0 for the first answer. An ``error`` says why there is no value. Tokens are those
    of all attempts, as the server counted them, else estimated."""

    question: str
    sample: int
    judge: str
    text: str = ""
    value: float | None = None
    error: str = ""
    seed: int = 0  # of the attempt that gave ``text``
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Suite(Protocol):
    """A set of items and how answers to them are scored."""

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The first one is the suite's headline."""
        ...

    @property
    def spoken(self) -> bool:
        """Whether the model is asked for spoken replies."""
        ...

    @property
    def transcribed(self) -> bool:
        """Whether scores read :attr:`Reply.transcript`."""
        ...

    def items(self, data: str) -> list[Item]:
        """The items of the directory, file or URL ``data``, in its order. Raises ``ValueError`` that names the file,
        the row and what was expected."""
        ...

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        """Facts about ``data``, whose items are ``items``, for the report: number of rows, checksums of files, the
        published version if it is a known one."""
        ...

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        """What judges are asked about an answer; empty for scores by rule. The answer has no error."""
        ...

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        """The scores of an answer without error, from all judgements with a value of its questions. A score whose
        judgements are missing is left out, never 0."""
        ...


@runtime_checkable
class PublishedSuite(Suite, Protocol):
    """A suite that can write answers in its published layout, so that its own scripts can score them too."""

    def write_published(self, items: Sequence[Item], answers: Sequence[Answer], directory: Path, model: str) -> Path:
        """The file or directory under ``directory`` that was written."""
        ...


@runtime_checkable
class JointSuite(Suite, Protocol):
    """A suite with scores that need the answers to several items: pairs of replies, or how many replies differ.

    Its joint questions and scores come in addition to those of single answers, once all items are answered. ``answers``
    are by item, only those without an error."""

    def joint_questions(self, items: Sequence[Item], answers: Mapping[str, Answer]) -> list[Question]: ...

    def joint_scores(
        self, items: Sequence[Item], answers: Mapping[str, Answer], judgements: Sequence[Judgement]
    ) -> list[Score]:
        """From all judgements with a value of the joint questions. Each score names one of the items."""
        ...
