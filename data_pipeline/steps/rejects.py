"""Collecting the rows that steps reject, so that a bad row neither ends the job nor gets lost."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import pyarrow as pa

from data_pipeline.records import Reject, RejectedRow
from data_pipeline.schema import REJECT


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
                self.rows.append(Reject(id=row.id, step=step, reason=str(error)))
        return kept

    def table(self) -> pa.Table:
        return pa.Table.from_pylist([dataclasses.asdict(row) for row in self.rows], schema=REJECT)
