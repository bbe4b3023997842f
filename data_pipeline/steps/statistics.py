"""The selection of the rows of a corpus, made once from the metadata of all of them."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

METADATA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("corpus", pa.string()),
        pa.field("language", pa.string()),
        pa.field("text", pa.string()),  # empty: unknown
        pa.field("speaker", pa.string()),
        pa.field("duration", pa.float64()),  # seconds; null: unknown
        pa.field("dnsmos", pa.float64()),  # speech quality from 1 to 5; null: unknown
    ]
)
"""The columns that a selection reads."""

_HASHED = 65_536
"""Ids that are Python strings at one time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """How much of a language is used: hours, rows, or whichever limit is reached first."""

    language: str
    hours: float | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        if (self.hours is None and self.rows is None) or (self.hours or 0) < 0 or (self.rows or 0) < 0:
            raise ValueError(f"quota of {self.language!r}: expected hours or rows of at least 0, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionConfig:
    """Rules of a selection; None is no rule. A value that a corpus does not state breaks no rule but a quota in hours.

    ``quartile_ranges`` bounds the seconds per character in each language: to Q1 - n · (Q3 - Q1) … Q3 + n · (Q3 - Q1),
    over the rows that satisfy the other rules. The rows within a quota are chosen by a hash of seed and id.
    """

    duplicates: bool = True
    min_seconds: float | None = None
    max_seconds: float | None = None
    min_characters: int | None = None
    min_dnsmos: float | None = None
    quartile_ranges: float | None = None
    quotas: tuple[Quota, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        languages = [quota.language for quota in self.quotas]
        if repeated := sorted({language for language in languages if languages.count(language) > 1}):
            raise ValueError(f"several quotas of {', '.join(repeated)}: expected one a language")


EMILIA = SelectionConfig(min_seconds=3, max_seconds=30, min_characters=2, min_dnsmos=3, quartile_ranges=1.5)
"""The rules by which Emilia's authors select."""


def select(metadata: pa.Table, config: SelectionConfig) -> pa.Array:
    """The reason to reject each row, null where it is used: strings (n,), ``<kind>: <detail>``.

    ``metadata`` has the columns of :data:`METADATA`, others are ignored. A row that repeats an earlier one is a
    ``duplicate id`` or a ``duplicate clip`` (of the same corpus, text, speaker and duration, all of them known). The
    result depends only on the rows, their order and ``config``. Raises ``ValueError`` for missing columns.
    """
    if missing := sorted(set(METADATA.names) - set(metadata.column_names)):
        raise ValueError(f"the metadata have no columns {missing}: expected {METADATA.names}")
    table = metadata.select(METADATA.names).cast(METADATA).combine_chunks()
    selection = _Selection(table)
    if config.duplicates:
        selection.reject_duplicates()
    selection.reject_bounds(config)
    if config.quartile_ranges is not None:
        selection.reject_pace(config.quartile_ranges)
    for quota in config.quotas:
        selection.reject_surplus(quota, config.seed)
    return pa.array(selection.reasons, pa.string())


class _Selection:
    """The rows, and the first reason to reject each."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.reasons: NDArray[np.object_] = np.full(table.num_rows, None, object)
        self.kept = np.ones(table.num_rows, bool)
        self.seconds = _numbers(table["duration"])
        self.characters = _numbers(pc.utf8_length(table["text"]))

    def reject_duplicates(self) -> None:
        self._reject(~self._first(["corpus", "id"], self.kept), "duplicate id: ", "id", ", expected once")
        speaker = pc.fill_null(pc.not_equal(self.table["speaker"], ""), False).to_numpy()
        known = self.kept & (self.characters > 0) & ~np.isnan(self.seconds) & speaker
        repeated = known & ~self._first(["corpus", "text", "speaker", "duration"], known)
        self._reject(repeated, "duplicate clip: ", "duration", " s with text and speaker of an earlier row")

    def reject_bounds(self, config: SelectionConfig) -> None:
        seconds, characters, dnsmos = self.seconds, self.characters, _numbers(self.table["dnsmos"])
        with np.errstate(invalid="ignore"):
            if (least := config.min_seconds) is not None:
                self._reject(seconds < least, "too short: ", "duration", f" s, expected at least {least:g} s")
            if (most := config.max_seconds) is not None:
                self._reject(seconds > most, "too long: ", "duration", f" s, expected at most {most:g} s")
            if (fewest := config.min_characters) is not None:
                short = (characters > 0) & (characters < fewest)
                self._reject(short, "text too short: ", "text", f", expected at least {fewest} characters")
            if (worst := config.min_dnsmos) is not None:
                self._reject(dnsmos < worst, "bad quality: DNSMOS ", "dnsmos", f", expected at least {worst:g}")

    def reject_pace(self, ranges: float) -> None:
        known = self.kept & (self.characters > 0) & ~np.isnan(self.seconds)
        pace = np.divide(self.seconds, self.characters, out=np.full(len(known), np.nan), where=known)
        for language in pc.unique(self.table["language"]).to_pylist():
            rows = known & self._of(language)
            if not rows.any():
                continue
            lower, upper = np.quantile(pace[rows], (0.25, 0.75))
            low, high = lower - ranges * (upper - lower), upper + ranges * (upper - lower)
            out = rows.copy()
            out[rows] = (pace[rows] < low) | (pace[rows] > high)
            bounds = f" s a character, expected {low:.4f} to {high:.4f} in {language!r}"
            self._reject(out, "unusual pace: ", pa.array(pace[out].round(4)), bounds)

    def reject_surplus(self, quota: Quota, seed: int) -> None:
        rows = self.kept & self._of(quota.language)
        if quota.hours is not None:
            unknown = rows & np.isnan(self.seconds)
            self._reject_all(unknown, f"unknown duration: expected one, as {quota.language!r} has a quota in hours")
            rows &= ~unknown
        places = np.flatnonzero(rows)
        order = places[np.argsort(self._hashes(places, seed), kind="stable")]
        used = np.ones(len(order), bool)
        limits = []
        if quota.hours is not None:
            used &= np.cumsum(self.seconds[order]) <= quota.hours * 3600
            limits.append(f"{quota.hours:g} h")
        if quota.rows is not None:
            used &= np.arange(len(order)) < quota.rows
            limits.append(f"{quota.rows} rows")
        surplus = np.zeros(len(rows), bool)
        surplus[order[~used]] = True
        there = f"{np.nansum(self.seconds[order]) / 3600:.1f} h in {len(order)} rows"
        self._reject_all(surplus, f"over quota: {there} of {quota.language!r}, expected at most {' and '.join(limits)}")

    def _of(self, language: str | None) -> NDArray[np.bool_]:
        column = self.table["language"]
        chosen = pc.is_null(column) if language is None else pc.fill_null(pc.equal(column, language), False)
        result: NDArray[np.bool_] = chosen.to_numpy()
        return result

    def _first(self, columns: list[str], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of ``rows`` have no equal before them; True for the others."""
        places = np.flatnonzero(rows)
        keys = self.table.select(columns).take(pa.array(places)).append_column("place", pa.array(places))
        earliest = keys.group_by(columns).aggregate([("place", "min")])["place_min"].to_numpy()
        first = ~rows
        first[earliest] = True
        return first

    def _hashes(self, places: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
        """A number for each row that depends on seed, corpus and id alone."""
        hashes = np.empty(len(places), np.uint64)
        for start in range(0, len(places), _HASHED):
            rows = self.table.select(["corpus", "id"]).take(pa.array(places[start : start + _HASHED]))
            pairs = zip(rows["corpus"].to_pylist(), rows["id"].to_pylist(), strict=True)
            digests = b"".join(
                hashlib.blake2b(f"{seed}\n{corpus}\n{name}".encode(), digest_size=8).digest() for corpus, name in pairs
            )
            hashes[start : start + rows.num_rows] = np.frombuffer(digests, "<u8")
        return hashes

    def _reject(self, rows: NDArray[np.bool_], before: str, value: str | pa.Array, after: str) -> None:
        """Reject those of ``rows`` that are still kept. The reason is ``before``, the value, ``after``."""
        rows = rows & self.kept
        if not rows.any():
            return
        column = self.table[value].filter(pa.array(rows)) if isinstance(value, str) else value
        texts = pc.binary_join_element_wise(before, pc.fill_null(column.cast(pa.string()), ""), after, "")
        self.reasons[rows] = texts.to_numpy(zero_copy_only=False) if isinstance(texts, pa.Array) else texts.to_numpy()
        self.kept &= ~rows

    def _reject_all(self, rows: NDArray[np.bool_], reason: str) -> None:
        self.reasons[rows] = reason
        self.kept &= ~rows


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """NaN where null."""
    numbers: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return numbers
