"""Collecting the rows that steps reject, so that a bad row neither ends the job nor gets lost."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import pyarrow as pa

from data_pipeline.records import Reject, RejectedRow, Unavailable
from data_pipeline.schema import REJECT

UNANSWERED = "unanswered"
"""The kind of rows for which a service gave no answer: a later run may get one."""


class Row(Protocol):
    @property
    def id(self) -> str: ...


RowT = TypeVar("RowT", bound=Row)
Out = TypeVar("Out")


class Rejects:
    """The rejected rows of one shard."""

    def __init__(self) -> None:
        self.rows: list[Reject] = []

    def apply(self, step: str, use: Callable[[RowT], Out], rows: Iterable[RowT]) -> list[Out]:
        """The results of ``use`` in order. A row for which it raises :class:`RejectedRow` is recorded with its
        reason."""
        kept = []
        for row in rows:
            try:
                kept.append(use(row))
            except RejectedRow as error:
                self.add(row.id, step, error)
        return kept

    def add(self, id: str, step: str, error: RejectedRow) -> None:
        """Record a row with its reason, of which the kind is ``unanswered`` for :class:`Unavailable`."""
        reason = f"{UNANSWERED}: {error}" if isinstance(error, Unavailable) else str(error)
        self.rows.append(Reject(id=id, step=step, reason=reason))

    def table(self) -> pa.Table:
        return pa.Table.from_pylist([dataclasses.asdict(row) for row in self.rows], schema=REJECT)
