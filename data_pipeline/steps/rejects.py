"""Rows that a step cannot use: caught one by one, so that a bad row never kills the job and never disappears."""

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
    """Collects the rows that the steps of one shard could not use."""

    def __init__(self) -> None:
        self.rows: list[Reject] = []

    def apply(self, step: str, use: Callable[[RowT], Out], rows: Iterable[RowT]) -> list[Out]:
        """``use`` of every row that it accepts, in order. A row for which it raises :class:`RejectedRow` is noted with
        the reason."""
        kept = []
        for row in rows:
            try:
                kept.append(use(row))
            except RejectedRow as error:
                self.rows.append(Reject(id=row.id, step=step, reason=str(error)))
        return kept

    def table(self) -> pa.Table:
        return pa.Table.from_pylist([dataclasses.asdict(row) for row in self.rows], schema=REJECT)
