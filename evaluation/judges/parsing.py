"""The value in a judge's answer.

Values are searched for in the forms of :data:`_FORMS`, the most explicit first. The first form that occurs decides: all
its occurrences must have the same value. Prose is never searched for a number that merely occurs in it.
"""

import json
import re
from collections.abc import Callable, Iterator

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.llm_writer.answers import without_thought
from evaluation.judges.scales import RANGES, Scale, normalised, scale_of
from evaluation.scores import Question

_FINAL = r"(?:\b(?:final|overall|total)\b|最终|最后|总体|综合|总)"
_MARKS = r"[ \t*_`\"'“”「」()\[\]<>#|]"
_WORDS = (
    "is|was|be|would|should|will|of|as|at|it|this|that|the|an|a|my|reply|response|answer|overall|final|score|rating"
)
_FILLER = rf"(?:{_MARKS}|[:=~-]|\b(?:{_WORDS})\b|[为是了应该回复答出予]|(?<=[:*#])\s*\n){{0,24}}"
_COLON = rf"{_MARKS}{{0,8}}[:=|](?:{_MARKS}|\n){{0,8}}"
_LIST_MARKER = re.compile(r"^( ?)[0-9]+[.)、](?=\s+\S|[^\s0-9])", re.MULTILINE)


def parse_value(text: str, question: Question) -> float:
    """The value of an answer to ``question``, as in :class:`~evaluation.scores.Judgement`. A thought before the answer
    is ignored.

    Raises :class:`RejectedRow`: ``no value``, ``ambiguous`` where values differ, ``out of range``, ``thinking`` where a
    thought does not end.
    """
    answer = normalised(without_thought(text))
    scale = scale_of(question)
    if question.scale in RANGES:
        answer = _without_scale(answer, question.scale)
    for form in _FORMS:
        values = [scale.read(found) for found in form(answer, scale)]
        if not values:
            continue
        if len(set(values)) > 1:
            raise RejectedRow(f"ambiguous: {_shown(text)} has several values, expected {scale.expected}")
        return values[0]
    raise RejectedRow(f"no value: {_shown(text)}, expected {scale.expected}")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:100]!r} … {text[-100:]!r}"


def _without_scale(answer: str, scale: str) -> str:
    """Without mentions of the scale, such as ``(1-5)`` and ``满分5分``, and without the numbers of lists."""
    least, most = (f"{bound:g}" for bound in RANGES[scale])
    mention = rf"(?<![0-9.]){least}\s*分?\s*(?:-|–|—|~|to|and|到|至)\s*{most}(?![0-9.]|\s*分?\s*[-–/])\s*分?"
    full_marks = rf"[(（]?满分(?:为|是)?\s*{most}(?![0-9])\s*分?[)）]?"
    return _LIST_MARKER.sub(r"\1", re.sub(rf"{mention}|{full_marks}", " ", answer, flags=re.IGNORECASE))


def _json_values(answer: str, scale: Scale) -> Iterator[str]:
    """Of objects, also within other text or a code fence."""
    position = answer.find("{")
    decoder = json.JSONDecoder()
    while position >= 0:
        try:
            found, end = decoder.raw_decode(answer, position)
        except (ValueError, RecursionError):
            end, found = position + 1, {}
        for key, value in found.items():
            if isinstance(value, dict | list) or key.replace("_", " ").strip().casefold() not in scale.keys:
                continue
            if match := _full(scale, json.dumps(value, ensure_ascii=False).strip('"')):
                yield match
        position = answer.find("{", end)


def _bracketed(answer: str, scale: Scale) -> Iterator[str]:
    for match in re.finditer(r"\[\[([^\[\]]*)\]\]", answer):
        if found := _full(scale, match[1]):
            yield found


def _after(before: str, *, in_prose: bool = False) -> Callable[[str, Scale], Iterator[str]]:
    """The value after ``before``, where LABEL is the label of the scale."""

    def find(answer: str, scale: Scale) -> Iterator[str]:
        return _search(
            before.replace("LABEL", scale.label) + scale.pattern + (scale.closed if in_prose else ""), answer
        )

    return find


def _fractions(answer: str, scale: Scale) -> Iterator[str]:
    return _search(scale.fraction, answer) if scale.fraction else iter(())


def _alone(answer: str, scale: Scale) -> Iterator[str]:
    """On the first or last line, or at the start before a comma, colon or dash."""
    lines = [line for line in answer.splitlines() if line.strip()]
    for line in [*lines[:1], *lines[1:][-1:]]:
        if found := _full(scale, line):
            yield found
            continue
        separator = rf"{_MARKS}*(?:[.,:;!)—–。、]|-\s|because\b|因为)"
        if line is lines[0] and (match := _match(rf"{_MARKS}*{scale.pattern}{separator}", line)):
            yield match["value"]


def _full(scale: Scale, text: str) -> str | None:
    unit = rf"(?:\s*{scale.units})?" if scale.units else ""
    match = _match(rf"{_MARKS}*{scale.pattern}{unit}[.。!{_MARKS[1:]}*$", text.strip())
    return match["value"] if match else None


def _match(pattern: str, text: str) -> re.Match[str] | None:
    return re.match(pattern, text, re.IGNORECASE)


def _search(pattern: str, text: str) -> Iterator[str]:
    return (match["value"] for match in re.finditer(pattern, text, re.IGNORECASE))


_FORMS: tuple[Callable[[str, Scale], Iterator[str]], ...] = (
    _json_values,  # {"score": 4}
    _bracketed,  # [[4]]
    _after(rf"{_FINAL}\s*(?:LABEL)?{_COLON}"),  # Overall: 4
    _after(rf"{_FINAL}\s*LABEL{_FILLER}", in_prose=True),  # The final score is 4.
    _after(rf"LABEL{_COLON}"),  # Score: 4
    _after(rf"LABEL{_FILLER}", in_prose=True),  # I rate this reply as a 4.
    _fractions,  # 4/5
    _alone,  # **4**
)
