"""Prepared rows as Arrow tables, in which they pass between the tasks and actors of Ray Data."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from data_pipeline.records import Conversation, Entry, Reject, Utterance
from data_pipeline.steps.row import PreparedRow

WORK = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("entry", pa.binary(), nullable=False),  # see encode_entry
        pa.field("clips", pa.list_(pa.large_binary()), nullable=False),
        pa.field("clip_samples", pa.list_(pa.int32()), nullable=False),
        pa.field("continuation", pa.string()),
        pa.field("units", pa.list_(pa.list_(pa.int32()))),
        pa.field("speakers", pa.list_(pa.list_(pa.float32()))),
        pa.field("reject_step", pa.string()),
        pa.field("reject_reason", pa.string()),
    ]
)
"""The fields of :class:`~data_pipeline.steps.row.PreparedRow`."""


class _Tagged(msgspec.Struct):
    utterance: Utterance | None = None
    conversation: Conversation | None = None


_DECODER = msgspec.json.Decoder(_Tagged)


def encode_entry(entry: Entry) -> bytes:
    """An entry as JSON, the same bytes for equal entries."""
    tagged = _Tagged(utterance=entry) if isinstance(entry, Utterance) else _Tagged(conversation=entry)
    return msgspec.json.encode(tagged)


def decode_entry(data: bytes) -> Entry:
    tagged = _DECODER.decode(data)
    entry = tagged.utterance or tagged.conversation
    assert entry is not None
    return entry


def to_table(rows: Sequence[PreparedRow]) -> pa.Table:
    """Rows → a table of schema WORK."""
    return pa.Table.from_pylist([_to_dict(row) for row in rows], schema=WORK)


def from_table(table: pa.Table) -> list[PreparedRow]:
    return [_from_dict(row) for row in table.to_pylist()]


def _to_dict(row: PreparedRow) -> dict[str, Any]:
    return {
        "shard": row.shard,
        "position": row.position,
        "entry": encode_entry(row.entry),
        "clips": row.clips,
        "clip_samples": row.clip_samples,
        "continuation": row.continuation,
        "units": row.units,
        "speakers": row.speakers,
        "reject_step": row.reject and row.reject.step,
        "reject_reason": row.reject and row.reject.reason,
    }


def _from_dict(row: dict[str, Any]) -> PreparedRow:
    entry = decode_entry(row["entry"])
    step, reason = row.pop("reject_step"), row.pop("reject_reason")
    return PreparedRow(
        shard=row["shard"],
        position=row["position"],
        entry=entry,
        clips=tuple(row["clips"]),
        clip_samples=tuple(row["clip_samples"]),
        continuation=row["continuation"],
        units=_nested(row["units"]),
        speakers=_nested(row["speakers"]),
        reject=None if step is None else Reject(id=entry.id, step=step, reason=reason),
    )


def _nested(values: list[list[Any]] | None) -> tuple[tuple[Any, ...], ...] | None:
    return None if values is None else tuple(map(tuple, values))
