"""The values of a corpus's table, checked one by one."""

import math
import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.records import RejectedRow

UNDECODED = re.compile(r"[\0\ufffd\ud800-\udfff]")
"""What a wrong encoding leaves in a text."""


def is_encodable(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: no lone surrogates, such as file names have that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_field(row: Mapping[str, Any], name: str) -> str:
    """A text without the white space around it, empty where it is absent or null. Raises :class:`RejectedRow`."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RejectedRow(f"bad row: {name} is {value!r:.100}, expected text")
    if UNDECODED.search(value):
        raise RejectedRow(f"bad encoding: {name} is {value!r:.100}, expected Unicode text")
    return value.strip()


def required_text(row: Mapping[str, Any], name: str, meaning: str) -> str:
    """A text that is not empty. Raises :class:`RejectedRow`: ``no <meaning>`` where it is."""
    text = text_field(row, name)
    if not text:
        raise RejectedRow(f"no {meaning}: {name} is empty or absent")
    return text


def number_field(row: Mapping[str, Any], name: str) -> float | None:
    """A finite number, also where it is written as text; None where it is absent, null or empty.

    Raises :class:`RejectedRow`.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RejectedRow(f"bad row: {name} is {value!r:.100}, expected a number")
    return number


def required_number(row: Mapping[str, Any], name: str, meaning: str) -> float:
    """A finite number. Raises :class:`RejectedRow`: ``no <meaning>`` where there is none."""
    number = number_field(row, name)
    if number is None:
        raise RejectedRow(f"no {meaning}: {name} is empty or absent")
    return number
