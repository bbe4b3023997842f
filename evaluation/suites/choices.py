"""Multiple choice: the options of a row, and the choice in a reply, by rule."""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

LETTERS = string.ascii_uppercase
_MARKED = re.compile(r"\s*[(\[]?([A-Z])[)\]]?\s*[.:、：)．]\s*(.+)")
"""``A. happy``, ``(A): happy``."""
_STATED = re.compile(
    r"(?:(?i:answer|choice|choose|pick)|答案|选择|选)\s*(?:(?i:is|are|would\ be)|是|为)?\s*[:：]?\s*"
    r"(?i:the\s+)?(?i:option\s+)?"
    r"[*\"'“(\[（]*(?:([A-Z])(?![A-Za-z'’])|([a-z])(?=\W*$))"
)
_ALONE = re.compile(r"\W*([A-Za-z])\W*")
_FIRST = re.compile(r"\W*([A-Z])\s*[.:、：)）．]")
_IN_SENTENCE = re.compile(
    r"[(\[（]([A-Z])[)\]）]|\*\*([A-Z])\*\*|(?i:option)\s+([A-Z])(?![A-Za-z'’])|选项\s*([A-Z])"
    r"|(?<![A-Za-z'’])([B-HJ-Z])(?![A-Za-z'’])"
)
"""A letter in brackets, after *option*, or by itself, where *A* and *I* are words."""


def read_options(value: Any) -> list[str]:
    """The texts of a list, of a mapping by letter, or of a text with a line or a part for each letter. Empty where it
    is none of them."""
    if isinstance(value, Mapping):
        found = [str(value[key]) for key in sorted(value)]
    elif isinstance(value, str):
        found = [part for part in re.split(r"\n+|\s+(?=[(\[]?[B-Z][)\]]?[.:、：)．]\s)", value.strip()) if part.strip()]
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        found = value
    else:
        return []
    marked = [_MARKED.fullmatch(part) for part in found]
    letters = [match[1] for match in marked if match]
    if letters == list(LETTERS[: len(found)]):
        return [match[2].strip() for match in marked if match]
    return [part.strip() for part in found]


def find_answer(answer: str, options: Sequence[str]) -> int | None:
    """The index of the right option, which ``answer`` names by letter, by text, or by both."""
    for number, option in enumerate(options):
        if _normalised(answer) == _normalised(option):
            return number
    match = _ALONE.fullmatch(answer) or _FIRST.match(answer)
    return _index(match[1], options) if match else None


def parse_choice(reply: str, options: Sequence[str]) -> int | None:
    """The index of the option that a reply chooses; None where it chooses none, or more than one.

    The first rule that finds one decides: the last ``answer is B`` or the like; a reply that is a letter or an option's
    text; a reply that begins with ``B.``; the one option whose text is in the reply, where the text of one option in
    that of another does not count; the one letter in brackets, after *option*, or by itself.
    """
    if stated := _STATED.findall(reply):
        return _index("".join(stated[-1]), options)
    if (whole := find_answer(reply, options)) is not None:
        return whole
    written = f" {_normalised(reply)} "
    named = [n for n, option in enumerate(options) if f" {_normalised(option)} " in written]
    if named:
        texts = [_normalised(options[number]) for number in named]
        longest = [n for n, text in zip(named, texts, strict=True) if not any(text in t for t in texts if t != text)]
        return longest[0] if len(longest) == 1 else None
    letters = {letter for match in _IN_SENTENCE.findall(reply) for letter in match if letter}
    return _index(letters.pop(), options) if len(letters) == 1 else None


def _index(letter: str, options: Sequence[str]) -> int | None:
    number = LETTERS.index(letter.upper())
    return number if number < len(options) else None


def _normalised(text: str) -> str:
    """Lower-case words; Chinese characters one by one, which have no spaces between them."""
    return " ".join(re.findall(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+", text.lower()))
