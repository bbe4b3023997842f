"""Names in the packages and their tests are those of the field, not words of our own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("serve_app", "opens2s_core", "data_pipeline", "evaluation", "ray_jobs")
FOLDERS = (*PACKAGES, *(f"tests/{package}" for package in PACKAGES), "tests/e2e")
SOURCES = [
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))),
    *(ROOT / "tests" / name for name in ("fakes.py", "spoken.py")),
]

WORDS = frozenset(
    """allowance begun caller callers crowd draws figure figures gate hear heard hearing hears hiddens holder holders
    hush journal manners outbox pack packs patience piece pieces reservation reservations said
    sift sifts slack sound sounds sourced tell telling tells told unheard whoever wire""".split()  # noqa: SIM905
)
"""In no name, as a part of it between underscores or capitals."""
CLASS_WORDS = frozenset(
    "beside choice feed heard line listener made material place row unusable use words".split()  # noqa: SIM905
)
"""Everyday words, but in the name of no class: there they would be a term of our own."""
PHRASES = (
    "again_and_again",
    "and_without",
    "be_prompt",
    "come_and_go",
    "ends_a_part",
    "hand_on",
    "left_behind",
    "stand_in",
    "taking_part",
    "to_come",
)
ALLOWED = {
    ("serve_app/api/audio_output.py", "tell"),  # a method of every file
    ("data_pipeline/dataset/shards.py", "tell"),
    ("data_pipeline/records.py", "RejectedRow"),  # in data, a row is a row of a table
    ("data_pipeline/report.py", "RowFacts"),
    ("data_pipeline/steps/rejects.py", "Row"),
    ("data_pipeline/steps/row.py", "PreparedRow"),
    ("data_pipeline/steps/row.py", "RowStep"),
    ("data_pipeline/report_plots.py", "figure"),  # matplotlib's
    ("data_pipeline/synthesis/quality/distributions.py", "figure"),
    ("evaluation/report/plots.py", "figure"),
    ("opens2s_core/benchmark/plots.py", "figure"),
    ("opens2s_core/benchmark/plots.py", "_figure"),
    ("opens2s_core/models/packed_attention.py", "pack"),  # sequences in one row without padding
    ("opens2s_core/training/curves.py", "figure"),
    ("opens2s_core/models/flow_encoder.py", "FeedForward"),
    ("opens2s_core/models/flow_estimator.py", "FeedForward"),
}


def parts_of(name: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def names_in(source: str) -> Iterator[tuple[str, bool]]:
    """All definitions, and whether each is a class: classes, functions, arguments, variables and attributes."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef(name):
                yield name, True
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.arg(name):
                yield name, False
            case ast.Name(name, ast.Store()) | ast.Attribute(_, name, ast.Store()):
                yield name, False


def is_private_language(name: str, *, of_class: bool = False) -> bool:
    parts = parts_of(name)
    return (
        bool(WORDS.intersection(parts))
        or (of_class and bool(CLASS_WORDS.intersection(parts)))
        or any(f"_{phrase}_" in f"_{'_'.join(parts)}_" for phrase in PHRASES)
    )


@pytest.mark.parametrize(
    ("name", "of_class"),
    [("told", False), ("_told_by_field", False), ("ExpectedCaller", True), ("LineServer", True), ("be_prompt", False)],
)
def test_a_word_is_found_as_a_part_of_a_name(name: str, of_class: bool) -> None:
    assert is_private_language(name, of_class=of_class)


@pytest.mark.parametrize(
    ("name", "of_class"),
    [
        ("lines", False),
        ("heartbeat", False),
        ("soundfile", False),
        ("Pipeline", True),
        ("retell", False),
        ("place", False),
    ],
)
def test_everyday_words_are_left_alone(name: str, of_class: bool) -> None:
    assert not is_private_language(name, of_class=of_class)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_those_of_the_field(path: Path) -> None:
    file = str(path.relative_to(ROOT))
    names = [(path.stem, False), *names_in(path.read_text())]
    found = {name for name, of_class in names if is_private_language(name, of_class=of_class)}
    assert {name for name in found if (file, name) not in ALLOWED} == set()


def strings_in(source: str) -> Iterator[str]:
    """All but docstrings."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


@pytest.mark.parametrize(
    "path",
    [path for folder in ("serve_app", "opens2s_core") for path in sorted((ROOT / folder / "benchmark").glob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_rows_of_the_benchmark_are_named_in_the_words_of_the_field(path: Path) -> None:
    found = [text for text in strings_in(path.read_text()) if is_private_language(re.sub(r"\W+", "_", text))]
    assert found == []
