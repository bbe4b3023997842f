"""The values of each scale of questions, as patterns of what judges write."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data_pipeline.records import RejectedRow
from evaluation.scores import Question

RANGES = {"1-5": (1.0, 5.0), "0-100": (0.0, 100.0)}
_YES_NO = {"yes": 1.0, "true": 1.0, "是": 1.0, "是的": 1.0, "no": 0.0, "false": 0.0, "否": 0.0, "不是": 0.0}
_SIDES = {1.0: ("a", "1", "first", "甲"), 0.0: ("b", "2", "second", "乙")}
_NOUNS = ("answer", "assistant", "reply", "response", "回答", "回复", "助手")
_PAIR = {
    **{name: value for value, names in _SIDES.items() for name in names},
    **{f"{noun} {name}": value for value, names in _SIDES.items() for name in names for noun in _NOUNS},
    **{f"{noun}{name}": value for value, names in _SIDES.items() for name in names for noun in _NOUNS[-3:]},
    **dict.fromkeys(("c", "tie", "draw", "a=b", "平局", "平手"), 0.5),
    **dict.fromkeys(("a>b", "a>>b", "b<a", "b<<a"), 1.0),
    **dict.fromkeys(("b>a", "b>>a", "a<b", "a<<b"), 0.0),
}
_RATING_KEYS = ("score", "rating", "overall", "overall score", "final score", "grade", "评分", "得分", "分数", "总分")
_OPTION_KEYS = (
    *("answer", "choice", "verdict", "winner", "decision", "judgment", "judgement", "result"),
    *("答案", "选择", "结论", "判断"),
)
_RATING_LABEL = (
    r"(?:\b(?:score|scored|rating|rate|rated|grade|gives?|deserves?)\b|评分|得分|打分|分数|给出?|打|评为|得|分)"
)
_OPTION_LABEL = (
    r"(?:\b(?:answer|choice|choose|option|pick|prefer|verdict|winner|decision|judge?ment|conclusion|result)\b"
    r"|答案|选择|选项|结论|判断)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """``pattern`` matches a value with what may follow it; ``read`` reads the group ``value``, or raises
    :class:`RejectedRow`."""

    expected: str
    pattern: str
    label: str  # names a value
    keys: tuple[str, ...]  # of JSON, in lower case
    read: Callable[[str], float]
    units: str = ""
    closed: str = ""
    """What follows a value in a sentence, so that the 2 of "gives 2 reasons" is none."""
    fraction: str = ""  # as ``pattern``, with the highest value: 4/5


def scale_of(question: Question) -> Scale:
    """Raises ``ValueError`` for choices that are empty or the same."""
    if question.scale in RANGES:
        return _rating(*RANGES[question.scale])
    if question.scale == "yes-no":
        return _options(_YES_NO, "yes or no")
    if question.scale == "pair":
        return _options(_PAIR, "A, B or a tie")
    values = {normalised(choice).casefold(): float(index) for index, choice in enumerate(question.choices)}
    if not values or not all(values) or len(values) != len(question.choices):
        raise ValueError(f"question {question.id!r}: expected different choices, got {question.choices}")
    return _options(values, f"one of {', '.join(question.choices)}")


_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def normalised(text: str) -> str:
    """With characters of full width as ASCII, without blank lines and repeated spaces."""
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text.translate(_HALF_WIDTH))).strip()


def _rating(least: float, most: float) -> Scale:
    def read(found: str) -> float:
        value = float(found)
        if not least <= value <= most:
            raise RejectedRow(f"out of range: {found:.20}, expected {expected}")
        return value

    expected = f"a number of {least:g} to {most:g}"
    number = r"(?<![A-Za-z0-9_.,/%+-])(?P<value>[+-]?[0-9]+(?:\.[0-9]+)?)"
    all_marks = rf"\s*{most:g}(?:\.0+)?(?![0-9])"
    of_most = rf"\s*\(?\s*(?:/|\bout of\b|\bof\b){all_marks}"
    percent = "%?" if most == 100 else ""
    # No part of a longer number or word, no range ("3-4", "3 or 4") and no fraction of another scale.
    other = r"(?:/|\bout of\b|\bor\b|\bto\b|\band\b|,|-|–|—|~|或|到|至)"
    end = rf"(?![A-Za-z0-9_%]|[.,][0-9]|\s*{other}\s*[0-9])"
    units = r"(?:分|points?\b|stars?\b)"
    closed = rf"(?=\s*(?:{units}|(?:because|since|for|as|due|based|on)\b|[^\w\s]|$)|\n)"
    return Scale(
        expected=expected,
        pattern=rf"{number}{percent}(?:{of_most})?{end}",
        label=_RATING_LABEL,
        keys=_RATING_KEYS,
        read=read,
        units=units,
        closed=closed,
        fraction=rf"{number}\s*(?:/|\bout of\b){all_marks}{end}",
    )


def _options(values: Mapping[str, float], expected: str) -> Scale:
    def read(found: str) -> float:
        # Letters that re.IGNORECASE takes for the same are more than those of str.casefold.
        return next(value for name, value in values.items() if re.fullmatch(re.escape(name), found, re.IGNORECASE))

    longest_first = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    # A Chinese name ends with its word. "Answer: A reply that …" does not choose A, "A or B" chooses nothing.
    end = r"(?![A-Za-z0-9_=<>])(?:(?<=[A-Za-z0-9])|(?!\w))(?!\s+(?!because\b|since\b|is\b|因为)\w)"
    end += rf"(?!\s*(?:[,/&+、或和]|\bor\b|\band\b)\s*(?:{longest_first})(?![A-Za-z0-9_]))"
    return Scale(
        expected=expected,
        pattern=rf"(?<![A-Za-z0-9_])(?P<value>{longest_first}){end}",
        label=_OPTION_LABEL,
        keys=_OPTION_KEYS,
        read=read,
    )
