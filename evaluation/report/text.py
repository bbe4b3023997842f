"""Numbers and facts as text for people, and files in UTF-8 whatever the text."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.scores import Metric

PROVENANCE = ("model_fingerprint", "data_checksum", "judge", "recogniser", "commit", "date")
"""Facts of a run that stand beside its numbers."""
REQUIRED = ("model", *PROVENANCE)


def check_facts(facts: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` that names the facts that are absent. A run without judge has the fact None."""
    if absent := [name for name in REQUIRED if name not in facts]:
        raise ValueError(f"expected the facts {', '.join(REQUIRED)}; absent: {', '.join(absent)}")


def provenance(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of :data:`PROVENANCE`."""
    return [(name.replace("_", " "), fact_text(facts[name])) for name in PROVENANCE]


def number_labels(models: Sequence[str]) -> list[str]:
    """The models, numbered where one occurs several times."""
    counts, seen = Counter(models), Counter[str]()
    labels = []
    for model in models:
        seen[model] += 1
        labels.append(f"{model} ({seen[model]})" if counts[model] > 1 else model)
    return labels


def fact_text(value: Any) -> str:
    """A JSON value on one line: ``none``, ``gpt-4o-mini``, ``model gpt-4o-mini, temperature 0.5``."""
    match value:
        case None | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{name.replace('_', ' ')} {fact_text(each)}" for name, each in value.items()) or "none"
        case list() | tuple():
            return ", ".join(fact_text(each) for each in value) or "none"
        case _:
            return str(value)


def number(value: float | None, *, decimals: int | None = None) -> str:
    """Two decimals, or two significant digits below 0.1; a dash for None."""
    if value is None:
        return "–"
    text = f"{abs(value):,.{_decimals(value) if decimals is None else decimals}f}"
    return f"−{text}" if value < 0 and float(text.replace(",", "")) else text


def signed(value: float | None) -> str:
    text = number(value)
    return f"+{text}" if value is not None and value > 0 else text


def interval(low: float | None, high: float | None) -> str:
    """Both bounds with as many decimals as the one further from 0 needs."""
    if low is None or high is None:
        return "–"
    decimals = _decimals(max(abs(low), abs(high)))
    return f"{number(low, decimals=decimals)} to {number(high, decimals=decimals)}"


def _decimals(value: float) -> int:
    return 2 if abs(value) >= 0.1 or value == 0 else min(1 - math.floor(math.log10(abs(value))), 8)


def with_unit(value: float | None, metric: Metric) -> str:
    """``42.89 %``, ``4.09 of 5``."""
    return f"{number(value)} {metric.unit}" if value is not None and metric.unit else number(value)


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def write_text(path: Path, text: str) -> None:
    """Halves of surrogate pairs, which judges' JSON may have, are written as ``\\udXXX``: in JSON the same text."""
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
