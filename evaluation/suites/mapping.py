"""The mapping of a data set's fields to items, as a YAML file."""

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from evaluation.suites.records import Record
from opens2s_core.config import ConfigError, parse_config

_FIELD = re.compile(r"\{([^{}?]+)(\?)?\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """What the judge rates: ``name`` is that of the metric, ``rubric`` says what is good and what is bad."""

    name: str
    title: str
    rubric: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """The judge is asked once for each criterion. ``prompt`` is a template with the fields ``conversation`` (the user's
    texts and the replies, without the last reply), ``reply`` (the last one), ``references``, ``rubric``, ``scale``, and
    the labels."""

    prompt: str
    scale: Literal["1-5", "0-100"]
    criteria: tuple[Criterion, ...]
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionFields:
    """The paths of the options (a list, a mapping by letter, or a text with lines such as ``A. happy``) and of the
    right one (its letter or its text)."""

    options: str
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LastTurn:
    """The dialogue ends with the ``number``-th turn in which the field has another value than ``unless``; a dialogue
    with fewer of them is left out."""

    field: str
    unless: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMapping:
    """How the rows of a data set become items.

    A template is a text with fields in braces, ``{turns.0.text}``: paths of keys and indices in the row. A field that
    is missing or empty is an error, but not one with a question mark, ``{topic?}``. ``{file}`` is the path of the file.
    ``audio`` and ``text`` are templates; in a dialogue they are those of a turn, with the row's fields where the turn
    lacks them. An ``audio`` that is one field may be a Parquet cell with the bytes of a file.

    ``where`` and ``turn_where`` keep the rows and the turns in which each field matches its pattern, as file names do.
    ``languages`` are languages (ISO 639-1) by patterns of the file's whole path, else it is ``language``.
    """

    name: str
    title: str
    source: str  # where the data and its format are described
    files: tuple[str, ...]  # patterns below the directory of the data
    rows: str = ""  # path of the list of rows in JSON files that are one object
    where: Mapping[str, str] = field(default_factory=dict)
    id: str = ""  # template; empty: file and row
    turns: str = ""  # path of the list of turns; empty: the row is one turn
    turn_where: Mapping[str, str] = field(default_factory=dict)
    last_turn: LastTurn | None = None
    audio: str = ""
    text: str = ""
    system: str = ""
    language: str = "en"
    languages: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    references: str = ""  # path of a text or of a list of texts
    labels: Mapping[str, str] = field(default_factory=dict)  # templates
    rubric: Rubric | None = None
    choice: OptionFields | None = None

    def __post_init__(self) -> None:
        if not (self.audio or self.text):
            raise ConfigError(f"{self.name}: expected audio, text or both, got neither")
        if (self.rubric is None) == (self.choice is None):
            raise ConfigError(f"{self.name}: expected either a rubric or a choice")


def load_mapping(path: Path) -> SetMapping:
    """Raises :class:`~opens2s_core.config.ConfigError`."""
    try:
        return parse_config(SetMapping, yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: expected YAML: {error}") from error


def known_mappings() -> dict[str, SetMapping]:
    """Those of this package, by name."""
    with resources.as_file(resources.files(__package__) / "mappings") as directory:
        found = [load_mapping(path) for path in sorted(directory.glob("*.yaml"))]
    return {mapping.name: mapping for mapping in found}


def fill(template: str, record: Record) -> str:
    """The template with the fields of the row. Raises :class:`DataError` for one that is missing."""

    def value(name: str, is_optional: bool) -> str:
        text = record.file if name == "file" else record.text(name)
        if not text and not is_optional:
            raise record.error(name, "expected text, got none")
        return text

    return substitute(template, value)


def substitute(template: str, value: Callable[[str, bool], str]) -> str:
    """The template with ``value(name, is_optional)`` for each field."""
    return _FIELD.sub(lambda match: value(match[1], bool(match[2])), template)


def clip(template: str, record: Record) -> bytes:
    """The clip that the template names; empty where it has optional fields and all of it is missing."""
    single = _FIELD.fullmatch(template)
    found: Any = record.find(single[1]) if single else None
    if not isinstance(found, (Mapping, bytes)):
        found = fill(template, record)
    return record.clip(single[1] if single else template, found) if found else b""


def matches(record: Record, patterns: Mapping[str, str]) -> bool:
    return all(fnmatch.fnmatchcase(record.text(name), pattern) for name, pattern in patterns.items())


def language_of(mapping: SetMapping, record: Record) -> str:
    path = f"{record.files.root}/{record.file}"
    found = (language for pattern, language in mapping.languages.items() if fnmatch.fnmatchcase(path, pattern))
    return next(found, mapping.language)


def turns_of(mapping: SetMapping, record: Record) -> list[Record]:
    """The turns of the user, up to the last one that is asked; empty for a row that is left out. Raises
    :class:`DataError` for a row without turns."""
    if not mapping.turns:
        return [record]
    turns = [turn for turn in record.elements(mapping.turns) if matches(turn, mapping.turn_where)]
    if not turns:
        raise record.error(mapping.turns, f"expected turns with {dict(mapping.turn_where)}, got none")
    if (last := mapping.last_turn) is None:
        return turns
    counted = [n for n, turn in enumerate(turns) if turn.required(last.field).lower() != last.unless]
    return turns[: counted[last.number - 1] + 1] if len(counted) >= last.number else []
