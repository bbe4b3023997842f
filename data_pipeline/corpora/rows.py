"""What readers do with rows: reject bad ones and repeated ids, and order the rounds of a conversation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from data_pipeline.records import Conversation, Reject, RejectedRow, Utterance

E = TypeVar("E", Utterance, Conversation)
P = ParamSpec("P")
R = TypeVar("R")
_MAX_DIGITS = 9


def bad_row(id: str, reason: str | RejectedRow) -> Reject:
    """A row that reading rejects. ``reason`` is ``<kind>: <detail>``. What is not UTF-8 in either is escaped."""
    return Reject(id=_escaped(id), step="read", reason=_escaped(str(reason)))


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def with_unique_ids(read: Callable[P, Iterable[E | Reject]]) -> Callable[P, Iterator[E | Reject]]:
    """Decorates a function that yields the entries of a part: each with the id of an earlier one is rejected."""

    @wraps(read)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Iterator[E | Reject]:
        seen: set[str] = set()
        for entry in read(*args, **kwargs):
            if isinstance(entry, Reject):
                yield entry
            elif entry.id in seen:
                yield bad_row(entry.id, f"duplicate id: {entry.id} is earlier in the same part")
            else:
                seen.add(entry.id)
                yield entry

    return checked


def split_rounds(rows: Sequence[R], round_of: Callable[[R], str]) -> tuple[list[R], list[tuple[R, str]]]:
    """The rows of one conversation in the order of their rounds, and those that cannot follow with the reason.

    Rounds count from 0 or 1 without a gap: after a fault, later rounds lack what they answer to.
    """
    numbered: list[tuple[int, R]] = []
    faults: list[tuple[R, str]] = []
    for row in rows:
        text = round_of(row).strip()
        if text.isdecimal() and len(text) <= _MAX_DIGITS:
            numbered.append((int(text), row))
        else:
            faults.append((row, f"bad round: {text!r:.100}, expected a whole number"))
    kept: list[R] = []
    last: int | None = None
    for number, row in sorted(numbered, key=lambda pair: pair[0]):
        if number == last:
            faults.append((row, f"duplicate round: {number}"))
        elif last is None and number > 1:
            faults.append((row, f"missing round: found {number}, expected the first to be 0 or 1"))
        elif last is not None and number != last + 1:
            faults.append((row, f"missing round: found {number}, expected {last + 1}"))
        else:
            kept.append(row)
            last = number
    return kept, faults
