"""The value in a judge's answer.

Values are searched for in the forms of :data:`_FORMS`, the most explicit first. The first form that occurs decides: all
its occurrences must have the same value. Prose is never searched for a number that merely occurs in it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.llm_writer.answers import without_thought
from evaluation.scores import Question

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_RANGES = {"1-5": (1.0, 5.0), "0-100": (0.0, 100.0)}
_YES_NO = {"yes": 1.0, "true": 1.0, "是": 1.0, "是的": 1.0, "no": 0.0, "false": 0.0, "否": 0.0, "不是": 0.0}
_SIDES = {1.0: ("a", "1", "first", "甲"), 0.0: ("b", "2", "second", "乙")}
_PAIR = {"c": 0.5, "tie": 0.5, "draw": 0.5, "a=b": 0.5, "平局": 0.5, "平手": 0.5, "a>b": 1.0, "a>>b": 1.0}
_PAIR |= {"b>a": 0.0, "b>>a": 0.0, "a<b": 0.0, "a<<b": 0.0}
for _side, _names in _SIDES.items():
    for _name in _names:
        _nouns = ("answer", "assistant", "reply", "response", "回答", "回复", "助手")
        _PAIR |= {_name: _side} | {f"{noun} {_name}": _side for noun in _nouns}

_RATING_KEYS = ("score", "rating", "overall", "overall score", "final score", "grade", "评分", "得分", "分数", "总分")
_OPTION_KEYS = (
    *("answer", "choice", "verdict", "winner", "decision", "judgment", "judgement", "result"),
    *("答案", "选择", "结论", "判断"),
)
_FINAL = r"(?:\b(?:final|overall|total)\b|最终|最后|总体|综合|总)"
_RATING_LABEL = (
    r"(?:\b(?:score|scored|rating|rate|rated|grade|gives?|deserves?)\b|评分|得分|打分|分数|给出?|打|评为|得|分)"
)
_OPTION_LABEL = (
    r"(?:\b(?:answer|choice|choose|option|pick|prefer|verdict|winner|decision|judge?ment|conclusion|result)\b"
    r"|答案|选择|选项|结论|判断)"
)
_MARKS = r"[ \t*_`\"'“”「」()\[\]<>#|]"
_WORDS = (
    "is|was|be|would|should|will|of|as|at|it|this|that|the|an|a|my|reply|response|answer|overall|final|score|rating"
)
_FILLER = rf"(?:{_MARKS}|[:=~-]|\b(?:{_WORDS})\b|[为是了应该回复答出予]|(?<=[:*#])\s*\n){{0,24}}"
_COLON = rf"{_MARKS}{{0,8}}[:=](?:{_MARKS}|\n){{0,8}}"
_LIST_MARKER = re.compile(r"^( ?)[0-9]+[.)、](?=\s+\S|[^\s0-9])", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scale:
    """``pattern`` matches a value with what may stand around it, and its group ``value`` is what ``read`` reads."""

    expected: str
    pattern: str
    label: str
    keys: tuple[str, ...]
    read: Callable[[str], float]  # raises RejectedRow
    rest: str = ""  # what else on its line makes a value explicit: "/5"


def parse_value(text: str, question: Question) -> float:
    """The value of an answer to ``question``, as in :class:`~evaluation.scores.Judgement`. A thought before the answer
    is ignored.

    Raises :class:`RejectedRow`: ``no value``, ``ambiguous`` where values differ, ``out of range``, ``thinking`` where a
    thought does not end.
    """
    answer = _normalised(without_thought(text))
    scale = _scale(question)
    if question.scale in _RANGES:
        answer = _without_scale(answer, question.scale)
    for form in _FORMS:
        values = [scale.read(found) for found in form(answer, scale)]
        if not values:
            continue
        if len(set(values)) > 1:
            raise RejectedRow(f"ambiguous: {_shown(text)} has several values, expected {scale.expected}")
        return values[0]
    raise RejectedRow(f"no value: {_shown(text)}, expected {scale.expected}")


def _normalised(text: str) -> str:
    """With characters of full width as ASCII, without blank lines and repeated spaces."""
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text.translate(_HALF_WIDTH))).strip()


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:100]!r} … {text[-100:]!r}"


def _scale(question: Question) -> _Scale:
    if question.scale in _RANGES:
        return _rating(*_RANGES[question.scale])
    if question.scale == "yes-no":
        return _options(_YES_NO, "yes or no")
    if question.scale == "pair":
        return _options(_PAIR, "A, B or a tie")
    values = {choice.strip().casefold(): float(index) for index, choice in enumerate(question.choices)}
    if not all(values) or len(values) != len(question.choices) or not values:
        raise ValueError(f"question {question.id!r}: expected different choices, got {question.choices}")
    return _options(values, f"one of {', '.join(question.choices)}")


def _rating(least: float, most: float) -> _Scale:
    def read(found: str) -> float:
        value = float(found)
        if not least <= value <= most:
            raise RejectedRow(f"out of range: {found:.20}, expected {expected}")
        return value

    expected = f"a number of {least:g} to {most:g}"
    of_most = rf"\s*\(?\s*(?:/|\bout of\b|\bof\b)\s*{most:g}(?:\.0+)?(?![0-9])"
    percent = "%?" if most == 100 else ""
    # No part of a longer number or word, no range ("3-4", "3 or 4") and no fraction of another scale.
    other = r"(?:/|\bout of\b|\bor\b|\bto\b|\band\b|,|-|–|—|~|或|到|至)"
    end = rf"(?![A-Za-z0-9_%]|[.,][0-9]|\s*{other}\s*[0-9])"
    number = r"(?<![A-Za-z0-9_.,/%+-])(?P<value>[+-]?[0-9]+(?:\.[0-9]+)?)"
    return _Scale(
        expected=expected,
        pattern=rf"{number}{percent}(?:{of_most})?{end}",
        label=_RATING_LABEL,
        keys=_RATING_KEYS,
        read=read,
        rest=rf"{number}{of_most}{end}",
    )


def _options(values: Mapping[str, float], expected: str) -> _Scale:
    longest_first = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    # A Chinese name ends with its word. "Answer: A reply that …" does not choose A, "A or B" chooses nothing.
    end = r"(?![A-Za-z0-9_=<>])(?:(?<=[A-Za-z0-9])|(?!\w))(?!\s+(?!because\b|since\b|is\b|因为)\w)"
    end += rf"(?!\s*(?:[,/&+、或和]|\bor\b|\band\b)\s*(?:{longest_first})(?![A-Za-z0-9_]))"
    return _Scale(
        expected=expected,
        pattern=rf"(?<![A-Za-z0-9_])(?P<value>{longest_first}){end}",
        label=_OPTION_LABEL,
        keys=_OPTION_KEYS,
        read=lambda found: values[found.casefold()],
    )


def _without_scale(answer: str, scale: str) -> str:
    """Without mentions of the scale, such as ``(1-5)`` and ``满分5分``, and without the numbers of lists."""
    least, most = (f"{bound:g}" for bound in _RANGES[scale])
    mention = rf"(?<![0-9.]){least}\s*分?\s*(?:-|–|—|~|to|and|到|至)\s*{most}(?![0-9.]|\s*分?\s*[-–/])\s*分?"
    full_marks = rf"[(（]?满分(?:为|是)?\s*{most}(?![0-9])\s*分?[)）]?"
    return _LIST_MARKER.sub(r"\1", re.sub(rf"{mention}|{full_marks}", " ", answer, flags=re.IGNORECASE))


def _json_values(answer: str, scale: _Scale) -> Iterator[str]:
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


def _bracketed(answer: str, scale: _Scale) -> Iterator[str]:
    for match in re.finditer(r"\[\[([^\[\]]*)\]\]", answer):
        if found := _full(scale, match[1]):
            yield found


def _after(label: str) -> Callable[[str, _Scale], Iterator[str]]:
    def find(answer: str, scale: _Scale) -> Iterator[str]:
        return _search(label.replace("LABEL", scale.label) + scale.pattern, answer)

    return find


def _fractions(answer: str, scale: _Scale) -> Iterator[str]:
    return _search(scale.rest, answer) if scale.rest else iter(())


def _alone(answer: str, scale: _Scale) -> Iterator[str]:
    """On the first or last line, or at the start before a comma, colon or dash."""
    lines = [line for line in answer.splitlines() if line.strip()]
    for line in [*lines[:1], *lines[1:][-1:]]:
        if found := _full(scale, line):
            yield found
            continue
        separator = rf"{_MARKS}*(?:[.,:;!)—–。、]|-\s|because\b|因为)"
        if line is lines[0] and (match := _match(rf"{_MARKS}*{scale.pattern}{separator}", line)):
            yield match["value"]


def _full(scale: _Scale, text: str) -> str | None:
    unit = r"(?:\s*(?:分|points?|stars?))?" if scale.rest else ""
    match = _match(rf"{_MARKS}*{scale.pattern}{unit}[.。!{_MARKS[1:]}*$", text.strip())
    return match["value"] if match else None


def _match(pattern: str, text: str) -> re.Match[str] | None:
    return re.match(pattern, text, re.IGNORECASE)


def _search(pattern: str, text: str) -> Iterator[str]:
    return (match["value"] for match in re.finditer(pattern, text, re.IGNORECASE))


_FORMS: tuple[Callable[[str, _Scale], Iterator[str]], ...] = (
    _json_values,  # {"score": 4}
    _bracketed,  # [[4]]
    _after(rf"{_FINAL}\s*(?:LABEL)?{_FILLER}"),  # Final score: 4
    _after(rf"LABEL{_COLON}"),  # Score: 4
    _after(rf"LABEL{_FILLER}"),  # I rate this reply as a 4
    _fractions,  # 4/5
    _alone,  # **4**
)
