"""The seed table: clips of people, whose voices and emotions are cloned (OpenS2S, arXiv 2507.05177, section 3.2)."""

import csv
import io
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import pyarrow.parquet as pq

from data_pipeline.corpora.fields import text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.tables import parquet_rows
from data_pipeline.records import EMOTIONS, Age, Emotion, Gender, RejectedRow
from data_pipeline.synthesis.protocols import Person

COLUMNS = ("audio", "text", "gender", "age", "emotion", "language")
_GENDERS: tuple[Gender, ...] = get_args(Gender)
_AGES: tuple[Age, ...] = get_args(Age)
_LANGUAGE = re.compile(r"[a-z]{2}")
_SHOWN = 20


class SeedError(CorpusError):
    """A seed table that cannot be used. The message has one line a fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedClip:
    """An empty gender or age is an unknown one."""

    audio: str  # path of the file relative to the directory of the table, with "/": the name of the clip, too
    text: str  # what is spoken in it
    gender: Gender
    age: Age
    emotion: Emotion
    language: str  # ISO 639-1


@dataclass(frozen=True, kw_only=True)
class SeedTable:
    """``unknown_columns`` of the table were not read."""

    files: CorpusFiles  # the directory of the table
    clips: tuple[SeedClip, ...]
    unknown_columns: tuple[str, ...] = ()

    def audio(self, clip: SeedClip) -> bytes:
        """The encoded audio."""
        return self.files.read(clip.audio)

    @cached_property
    def by_emotion(self) -> Mapping[tuple[str, Emotion], tuple[SeedClip, ...]]:
        """The clips of each language and emotion, in the order of the table."""
        found: defaultdict[tuple[str, Emotion], list[SeedClip]] = defaultdict(list)
        for clip in self.clips:
            found[clip.language, clip.emotion].append(clip)
        return {key: tuple(clips) for key, clips in found.items()}


def read_seeds(url: str) -> SeedTable:
    """The table at a local path or a URL of fsspec: ``*.csv`` in UTF-8 with a header, or ``*.parquet``.

    Columns are :data:`COLUMNS`; labels are those of :mod:`data_pipeline.records`. ``audio`` is relative to the
    directory of the table, or absolute and below it, and each file is in one row only.

    Raises :class:`SeedError` with all faulty rows (counted from 1 without the header), or :class:`CorpusError` for a
    table that cannot be read as a whole.
    """
    directory, separator, name = url.rpartition("/")
    files = CorpusFiles(directory + separator if separator else ".")
    if name.endswith(".csv"):
        columns, rows = _csv_rows(files, name, url)
    elif name.endswith(".parquet"):
        columns, rows = _parquet_rows(files, name, url)
    else:
        raise SeedError(f"{url}: expected a table *.csv or *.parquet")
    clips: list[SeedClip] = []
    faults: list[str] = []
    listing = Listing(files)
    first_rows: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        try:
            if isinstance(row, RejectedRow):
                raise row
            clip = _clip(row, files, listing)
            if (first := first_rows.setdefault(clip.audio, number)) != number:
                raise RejectedRow(f"duplicate clip: audio is {clip.audio!r}, as in row {first}, expected another clip")
            clips.append(clip)
        except RejectedRow as error:
            faults.append(f"{url}, row {number}: {error}")
    if faults:
        more = [f"and {len(faults) - _SHOWN} faulty rows more"] if len(faults) > _SHOWN else []
        raise SeedError("\n".join([*faults[:_SHOWN], *more]))
    if not clips:
        raise SeedError(f"{url}: no rows, expected at least one clip")
    unknown = tuple(column for column in columns if column not in COLUMNS)
    return SeedTable(files=files, clips=tuple(clips), unknown_columns=unknown)


def match(seeds: SeedTable, person: Person, language: str, seed: int) -> SeedClip:
    """A clip of the language and the labels of ``person``; an unknown label is any.

    Where no clip has them all, one of any age; where there is none, one of any age and gender. The emotion is always
    that of ``person``. Clips of the same labels take turns: any ``n`` requests with the seeds ``k·n`` to
    ``(k + 1)·n − 1`` use each of ``n`` clips once, in an order that depends on ``k``. So where ``seed`` counts the
    requests for the same labels, use is balanced. The labels of what is spoken are then those of the clip.

    Raises :class:`RejectedRow`: ``no seed clip``.
    """
    clips = _matching(seeds, person, language)
    if not clips:
        raise RejectedRow(f"no seed clip: {_missing(seeds, person, language)}")
    cycle, position = divmod(seed, len(clips))
    order = list(range(len(clips)))
    random.Random(f"{cycle} {language} {person.emotion} {person.age} {person.gender}").shuffle(order)
    return clips[order[position]]


def check_coverage(seeds: SeedTable, wanted: Iterable[tuple[Person, str]]) -> None:
    """Raises :class:`SeedError` that lists all of ``wanted``, people and languages, for which :func:`match` finds no
    clip."""
    lacking = {
        (language, person.emotion): _missing(seeds, person, language)
        for person, language in wanted
        if not _matching(seeds, person, language)
    }
    if lacking:
        raise SeedError("\n".join(f"no seed clip: {lacking[key]}" for key in sorted(lacking)))


def _matching(seeds: SeedTable, person: Person, language: str) -> tuple[SeedClip, ...]:
    clips = (
        seeds.by_emotion.get((language, person.emotion), ())
        if person.emotion
        else tuple(clip for clip in seeds.clips if clip.language == language)
    )
    of_gender = tuple(clip for clip in clips if person.gender in ("", clip.gender))
    of_age = tuple(clip for clip in of_gender if person.age in ("", clip.age))
    return of_age or of_gender or clips


def _missing(seeds: SeedTable, person: Person, language: str) -> str:
    there = ", ".join(sorted({clip.emotion for clip in seeds.clips if clip.language == language}))
    return (
        f"language {language!r}, emotion {person.emotion or 'any'!r}; "
        f"the table has {f'{language!r} with {there}' if there else f'no {language!r}'}"
    )


def _clip(row: Mapping[str, Any], files: CorpusFiles, listing: Listing) -> SeedClip:
    name = _required(row, "audio", "a path")
    try:
        audio = listing.find(files.relative(name))
    except RejectedRow as error:
        raise RejectedRow(
            f"{error}: audio is {name!r:.100}, expected a file below the directory of the table"
        ) from None
    language = text_field(row, "language")
    if not _LANGUAGE.fullmatch(language):
        raise RejectedRow(f"bad language: language is {language!r:.100}, expected a code of ISO 639-1 such as 'en'")
    return SeedClip(
        audio=audio,
        text=_required(row, "text", "what is spoken"),
        gender=_label(row, "gender", _GENDERS),
        age=_label(row, "age", _AGES),
        emotion=_label(row, "emotion", EMOTIONS),
        language=language,
    )


def _required(row: Mapping[str, Any], name: str, expected: str) -> str:
    value = text_field(row, name)
    if not value:
        raise RejectedRow(f"no {name}: {name} is {row[name]!r}, expected {expected}")
    return value


def _label(row: Mapping[str, Any], name: str, allowed: tuple[Any, ...]) -> Any:
    value = text_field(row, name)
    if value not in allowed:
        known = ", ".join(label or "nothing" for label in allowed)
        raise RejectedRow(f"unknown {name}: {name} is {value!r:.100}, expected one of {known}")
    return value


def _csv_rows(files: CorpusFiles, name: str, url: str) -> tuple[list[str], Iterator[dict[str, Any] | RejectedRow]]:
    try:
        table = list(csv.reader(io.StringIO(files.text(name), newline=""), strict=True))
    except FileNotFoundError:
        raise SeedError(f"{url}: no such file, expected a seed table") from None
    except csv.Error as error:
        raise SeedError(f"{url}: expected CSV: {error}") from error
    header = [column.strip() for column in table[0]] if table else []
    if missing := [column for column in COLUMNS if column not in header]:
        raise SeedError(f"{url}: columns {missing} are missing; found {header}")
    if len(set(header)) < len(header):
        raise SeedError(f"{url}: columns {header}, expected each name once")
    return header, (_csv_row(header, cells) for cells in table[1:] if cells)


def _csv_row(header: list[str], cells: list[str]) -> dict[str, Any] | RejectedRow:
    if len(cells) != len(header):
        return RejectedRow(f"bad row: {len(cells)} cells {cells!r:.100}, expected {len(header)}: {', '.join(header)}")
    return dict(zip(header, cells, strict=True))


def _parquet_rows(files: CorpusFiles, name: str, url: str) -> tuple[list[str], Iterator[dict[str, Any] | RejectedRow]]:
    try:
        rows = list(parquet_rows(files, name, COLUMNS))
        with files.open(name) as file:
            columns = pq.read_schema(file).names
    except FileNotFoundError:
        raise SeedError(f"{url}: no such file, expected a seed table") from None
    return columns, iter(rows)
