"""Suites of published sets by one reader: a mapping of fields, and a rubric or multiple choice."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.items import Answer, Item, Turn
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.choices import LETTERS, find_answer, parse_choice, read_options
from evaluation.suites.mapping import (
    Criterion,
    Rubric,
    SetMapping,
    clip,
    fill,
    known_mappings,
    language_of,
    load_mapping,
    matches,
    substitute,
    turns_of,
)
from evaluation.suites.records import DataError, Record, read_records

ACCURACY = Metric(name="accuracy", title="Right choices", unit="%", scale=100)
NO_CHOICE = Metric(name="no_choice", title="Replies without one choice", unit="%", scale=100, higher_is_better=False)
_SCALES = {"1-5": "from 1 (worst) to 5 (best)", "0-100": "from 0 (worst) to 100 (best)"}


class MappedSuite:
    """The last reply of each item is scored, by its text. A reply without one choice is a wrong one."""

    spoken = False
    transcribed = False

    def __init__(self, mapping: SetMapping) -> None:
        self._mapping = mapping
        self.name = mapping.name

    @property
    def metrics(self) -> tuple[Metric, ...]:
        if (rubric := self._mapping.rubric) is None:
            return ACCURACY, NO_CHOICE
        unit = "of 5" if rubric.scale == "1-5" else "of 100"
        return tuple(Metric(name=each.name, title=each.title, unit=unit) for each in rubric.criteria)

    def items(self, data: str) -> list[Item]:
        mapping = self._mapping
        records = read_records(data, mapping.files, mapping.rows)
        kept = (record for record in records if matches(record, mapping.where))
        items = [self._item(record, turns) for record in kept if (turns := turns_of(mapping, record))]
        if not items:
            raise DataError(f"{data}: expected rows with {dict(mapping.where)}, got none")
        if twice := [id for id, count in Counter(item.id for item in items).items() if count > 1]:
            raise DataError(f"{data}: expected a unique id in each row, got {twice[0]!r} twice")
        return items

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return {
            "set": self._mapping.title,
            "source": self._mapping.source,
            "rows": len(items),
        }

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        if (rubric := self._mapping.rubric) is None:
            return []
        return [
            Question(
                id=_question_id(item, criterion),
                item=item.id,
                messages=({"role": "user", "content": _prompt(rubric, criterion, item, answer)},),
                scale=rubric.scale,
                samples=rubric.samples,
                temperature=rubric.temperature,
                max_tokens=rubric.max_tokens,
            )
            for criterion in rubric.criteria
        ]

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        """Of several samples the mean."""
        if self._mapping.rubric is None:
            return _choice_scores(item, answer)
        found = []
        for criterion in self._mapping.rubric.criteria:
            own = [each for each in judgements if each.question == _question_id(item, criterion)]
            if values := [each.value for each in own if each.value is not None]:
                value = sum(values) / len(values)
                reason = own[0].text
                found.append(
                    Score(item=item.id, metric=criterion.name, value=value, group=item.category, reason=reason)
                )
        return found

    def _item(self, record: Record, turns: Sequence[Record]) -> Item:
        mapping = self._mapping
        labels: dict[str, Any] = {name: fill(template, record) for name, template in mapping.labels.items()}
        if mapping.choice:
            options = read_options(record.find(mapping.choice.options))
            if len(options) < 2:
                found = record.find(mapping.choice.options)
                raise record.error(mapping.choice.options, f"expected two options or more, got {found!r:.100}")
            answer = find_answer(record.required(mapping.choice.answer), options)
            if answer is None:
                found = record.find(mapping.choice.answer)
                raise record.error(
                    mapping.choice.answer, f"expected the letter or text of one of {options}, got {found!r}"
                )
            labels |= {"options": options, "answer": answer}
        references = record.find(mapping.references) if mapping.references else None
        return Item(
            id=fill(mapping.id, record) if mapping.id else f"{record.file}:{record.number}",
            turns=tuple(map(self._turn, turns)),
            system=fill(mapping.system, record),
            language=language_of(mapping, record),
            category=fill(mapping.category, record),
            references=tuple(
                map(str, references if isinstance(references, list) else [references] if references else [])
            ),
            labels=labels,
        )

    def _turn(self, record: Record) -> Turn:
        mapping = self._mapping
        text = fill(mapping.text, record)
        audio = clip(mapping.audio, record) if mapping.audio else b""
        if not text and not audio:
            raise record.error(mapping.audio or mapping.text, "expected a clip or a text, got neither")
        return Turn(text=text, audio=audio)


def mapped_suites() -> dict[str, MappedSuite]:
    """Those of the mappings of this package, by name."""
    return {name: MappedSuite(mapping) for name, mapping in known_mappings().items()}


def suite_of_mapping(path: Path) -> MappedSuite:
    """The suite of a mapping file of one's own. Raises :class:`~opens2s_core.config.ConfigError`."""
    return MappedSuite(load_mapping(path))


def _question_id(item: Item, criterion: Criterion) -> str:
    return f"{item.id}/{criterion.name}"


def _prompt(rubric: Rubric, criterion: Criterion, item: Item, answer: Answer) -> str:
    replies = [reply.text for reply in answer.replies]
    lines = []
    for turn, reply in zip(item.turns, (*replies[:-1], ""), strict=True):
        lines += [f"User: {turn.text}", *([f"Assistant: {reply}"] if reply else [])]
    values = {
        **{name: str(value) for name, value in item.labels.items()},
        "conversation": "\n".join(lines),
        "reply": replies[-1],
        "references": "\n".join(item.references),
        "rubric": criterion.rubric,
        "scale": _SCALES[rubric.scale],
    }

    def value(name: str, is_optional: bool) -> str:
        if name not in values and not is_optional:
            raise ValueError(f"prompt of the rubric: expected one of {sorted(values)}, got {name!r}")
        return values.get(name, "")

    return substitute(rubric.prompt, value)


def _choice_scores(item: Item, answer: Answer) -> list[Score]:
    options, right = item.labels["options"], item.labels["answer"]
    chosen = parse_choice(answer.replies[-1].text, options)
    found = "no choice" if chosen is None else f"chose {LETTERS[chosen]}"
    reason = f"{found}, right is {LETTERS[right]}"
    return [
        Score(item=item.id, metric=ACCURACY.name, value=float(chosen == right), group=item.category, reason=reason),
        Score(item=item.id, metric=NO_CHOICE.name, value=float(chosen is None), group=item.category),
    ]
