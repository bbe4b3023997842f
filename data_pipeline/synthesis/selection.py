"""Which of many written messages of users are used: no near-duplicates, and set numbers for topics and labels."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasketch import MinHash, MinHashLSH

from data_pipeline.records import Age, Emotion, Gender
from data_pipeline.synthesis.protocols import Person

_NOT_SPOKEN = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What quotas are set for."""

    language: str  # ISO 639-1
    topic: str
    person: Person

    def __str__(self) -> str:
        person = self.person
        labels = (self.language, self.topic, person.emotion, person.age, person.gender)
        return ", ".join(label or "unknown" for label in labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A written message of a user."""

    text: str
    cell: Cell


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateConfig:
    """Texts are near-duplicates where the Jaccard similarity of their sets of ``shingle`` successive words, Chinese:
    characters, is at least ``threshold``. One word of nine that differs gives 0.6 with two-word shingles.

    ``permutations`` of MinHash find the pairs: more find more of those close to the threshold.
    """

    threshold: float = 0.5
    shingle: int = 2
    permutations: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 0.95 or self.shingle < 1 or self.permutations < 32:
            raise ValueError(
                "expected threshold in (0, 0.95], shingle >= 1 and permutations >= 32, got "
                f"{self.threshold:g}, {self.shingle} and {self.permutations}"
            )


class DistinctTexts:
    """A growing set of texts without near-duplicates. The same texts in the same order give the same set."""

    def __init__(self, config: DuplicateConfig) -> None:
        self._config = config
        # Wrong pairs cost little, as each is compared exactly; a pair that is not found cannot be.
        self._index = MinHashLSH(threshold=config.threshold, num_perm=config.permutations, weights=(0.1, 0.9))
        self._empty = MinHash(num_perm=config.permutations)
        self._texts: list[tuple[str, str]] = []

    def add(self, text: str, language: str) -> bool:
        """Whether ``text`` was added: no near-duplicate of it was there."""
        found = shingles(text, language, self._config.shingle)
        sketch = self._empty.copy()
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in found])
        for key in self._index.query(sketch):
            earlier, its_language = self._texts[key]
            other = shingles(earlier, its_language, self._config.shingle)
            if len(found & other) >= self._config.threshold * len(found | other):
                return False
        self._index.insert(len(self._texts), sketch, check_duplication=False)
        self._texts.append((text, language))
        return True


def shingles(text: str, language: str, size: int) -> frozenset[str]:
    """All runs of ``size`` words, Chinese: characters, without case and punctuation; of a shorter text, the text."""
    plain = _NOT_SPOKEN.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    units: Sequence[str] = plain.replace(" ", "") if language == "zh" else plain.split()
    return frozenset(" ".join(units[start : start + size]) for start in range(max(1, len(units) - size + 1)))


def distinct(candidates: Iterable[Candidate], config: DuplicateConfig) -> Iterator[Candidate]:
    """Without those whose text is a near-duplicate of an earlier one, whatever their cells."""
    texts = DistinctTexts(config)
    return (candidate for candidate in candidates if texts.add(candidate.text, candidate.cell.language))


def equal_quotas(
    total: int,
    *,
    languages: Sequence[str],
    topics: Sequence[str],
    emotions: Sequence[Emotion],
    ages: Sequence[Age],
    genders: Sequence[Gender],
) -> dict[Cell, int]:
    """``total`` split among all cells, without those of 0. The numbers of any two cells differ by at most 1, and so do
    the sums of any two languages, topics, emotions, ages or genders."""
    dimensions: tuple[Sequence[str], ...] = (languages, emotions, ages, genders, topics)
    if total < 0 or not all(dimensions):
        raise ValueError(f"expected a total >= 0 and at least one value of each label, got {total} and {dimensions}")
    # What remains of each division goes to the values in turn, across all divisions of a dimension.
    turns = [itertools.cycle(range(len(values))) for values in dimensions]

    def split(count: int, labels: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
        if len(labels) == len(dimensions):
            yield labels, count
            return
        values, turn = dimensions[len(labels)], turns[len(labels)]
        share, rest = divmod(count, len(values))
        larger = {next(turn) for _ in range(rest)}
        for index, value in enumerate(values):
            yield from split(share + (index in larger), (*labels, value))

    return {_cell(*labels): count for labels, count in split(total, ()) if count}


def _cell(language: str, emotion: Emotion, age: Age, gender: Gender, topic: str) -> Cell:
    return Cell(language=language, topic=topic, person=Person(gender=gender, age=age, emotion=emotion))


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """``short``: cells with fewer candidates than their quota, and how many are missing."""

    candidates: tuple[Candidate, ...]
    short: Mapping[Cell, int]


def select(candidates: Iterable[Candidate], quotas: Mapping[Cell, int]) -> Selection:
    """The first candidates of each cell, up to its quota; none of other cells. No more candidates are read than
    needed."""
    if negative := [f"{cell}: {quota}" for cell, quota in quotas.items() if quota < 0]:
        raise ValueError(f"quotas {negative}, expected 0 or more")
    missing = {cell: quota for cell, quota in quotas.items() if quota}
    kept: list[Candidate] = []
    stream = iter(candidates)
    while missing and (candidate := next(stream, None)) is not None:
        cell = candidate.cell
        if cell not in missing:
            continue
        kept.append(candidate)
        missing[cell] -= 1
        if not missing[cell]:
            del missing[cell]
    return Selection(candidates=tuple(kept), short=missing)
