"""The plan of a data set: every row of a corpus in shards, committed before anything is prepared.

What depends on the whole corpus (duplicates, quantiles, quotas) is decided here, so that a shard can be made alone.
``_plan/<shard>.parquet`` holds the planned rows, ``_plan.json``, written last, says what they were made from.
"""

import hashlib
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.data

from data_pipeline.corpora import CorpusError, CorpusFiles, CorpusReader
from data_pipeline.corpora.checks import checked_entries, checked_parts
from data_pipeline.dataset.layout import MANIFEST, DatasetError, DatasetFiles, shard_name
from data_pipeline.dataset.plan import fingerprint
from data_pipeline.preparation.work import encode_entry
from data_pipeline.records import Conversation, Entry, Reject, Utterance
from data_pipeline.steps.statistics import METADATA, SelectionConfig, select
from data_pipeline.steps.tasks import TASKS, Task
from opens2s_core.config import parse_config

PLAN = "_plan.json"
SELECT = "select"
"""The step that rejects rows by what is known of all of them."""
_SCAN_TASKS = 256
"""Parts of a corpus are read in at most so many tasks."""
_SCAN_ROWS = 10_000
"""Rows that are held at once: a part may have millions."""

_ENTRY = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("entry", pa.binary()),  # null where the reader rejected it
        pa.field("reject_step", pa.string()),
        pa.field("reject_reason", pa.string()),
    ]
)
"""A planned row."""

_SCANNED = pa.schema([*_ENTRY, *(field for field in METADATA if field.name != "id")])
"""What is read of a corpus: planned rows, and what is known of them before their audio is read."""
_SURPLUS = "over quota"
"""Kind of the reason of a row that is not selected. Such rows may be many, so they are counted and not planned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The committed plan: ``live[i]`` rows of shard ``i`` are to be prepared, the others are rejected already."""

    fingerprint: str
    rows_fingerprint: str  # of the planned rows alone, whatever is made of them
    rows: int
    not_selected: int  # rows outside the quotas: they are counted and not planned
    live: tuple[int, ...]

    @property
    def shards(self) -> list[str]:
        return [shard_name(index, len(self.live)) for index in range(len(self.live))]

    def live_rows(self, shard: str) -> int:
        return self.live[int(shard.partition("-")[0])]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRows:
    """One shard of the plan: what is to be prepared by position, and what is rejected already."""

    entries: dict[int, bytes]
    rejects: dict[int, Reject]


def make_plan(
    output: str,
    reader: CorpusReader,
    root: str,
    task: Task,
    selection: SelectionConfig,
    shard_rows: int,
    made_from: Any,
) -> Plan:
    """The plan at ``output`` for a corpus that fits the task; made now where there is none.

    ``made_from`` is plain data that decides what the data set holds. Raises :class:`DatasetError` where the plan that
    is there was made from something else, naming the difference, and :class:`CorpusError` for a corpus without rows.
    """
    files = DatasetFiles(output)
    if files.exists(PLAN):
        return _committed(files, made_from)
    if files.exists(MANIFEST) or files.shards(""):
        raise DatasetError(f"{output} holds another data set: choose another output or remove it")
    files.remove("_plan")  # of a planning that did not finish
    corpus = CorpusFiles(root)
    parts = checked_parts(reader, corpus)
    _scan(files, reader, corpus, parts, task)
    reasons = _reasons(files, parts, selection)
    chosen = pc.invert(pc.fill_null(pc.starts_with(reasons, _SURPLUS), False))
    if not pc.any(chosen).as_py():
        files.remove("_scan")  # the corpus may be mended
        raise CorpusError(
            f"{root}: no rows of {reader.card.title}: expected some"
            + (f", the selection leaves none of {len(reasons)}" if len(reasons) else f" in {_named(parts)}")
        )
    plan = _write_shards(files, parts, reasons, chosen, shard_rows, made_from)
    files.remove("_scan")
    return plan


def _named(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:3])}{', …' if len(parts) > 3 else ''}" if parts else "the layout of docs/corpora.md"


def read_planned(output: str, shard: str) -> PlannedRows:
    files = DatasetFiles(output)
    table = pq.read_table(io.BytesIO(files.read(f"_plan/{shard}.parquet")))
    rows = table.to_pylist()
    return PlannedRows(
        entries={i: row["entry"] for i, row in enumerate(rows) if row["reject_step"] is None},
        rejects={
            i: Reject(id=row["id"], step=row["reject_step"], reason=row["reject_reason"])
            for i, row in enumerate(rows)
            if row["reject_step"] is not None
        },
    )


def _committed(files: DatasetFiles, made_from: Any) -> Plan:
    plan = files.read_json(PLAN)
    if differences := _differences(plan["made_from"], made_from):
        listed = "; ".join(f"{name} was {was!r}, is {now!r}" for name, was, now in differences)
        raise DatasetError(
            f"{files.url} is being made from something else: {listed}. Choose another output or remove it"
        )
    return parse_config(Plan, {name: value for name, value in plan.items() if name != "made_from"})


def _differences(was: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """The innermost settings that differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted(set(was) | set(now))
        return [found for key in keys for found in _differences(was.get(key), now.get(key), f"{name}.{key}".strip("."))]
    return [] if was == now else [(name, was, now)]


def _scan(files: DatasetFiles, reader: CorpusReader, corpus: CorpusFiles, parts: Sequence[str], task: Task) -> None:
    """A table of each part that has none yet."""
    done = {f"_scan/{name}" for name in files.names("_scan")}
    pending = [{"part": part} for part in parts if _scan_file(part) not in done]
    if pending:
        scan = partial(_scan_parts, reader=reader, corpus=corpus, task=task, output=files.url)
        tasks = min(len(pending), _SCAN_TASKS)
        ray.data.from_items(pending, override_num_blocks=tasks).map_batches(scan, batch_size=None).materialize()


def _scan_parts(
    batch: dict[str, Any], *, reader: CorpusReader, corpus: CorpusFiles, task: Task, output: str
) -> dict[str, Any]:
    files = DatasetFiles(output)
    for part in map(str, batch["part"]):
        buffer = pa.BufferOutputStream()
        with pq.ParquetWriter(buffer, _SCANNED, compression="zstd", write_statistics=False) as writer:
            for rows in _batches(_checked(reader, corpus, part, task), _SCAN_ROWS):
                writer.write_table(pa.Table.from_pylist(rows, schema=_SCANNED))
        files.put(_scan_file(part), buffer.getvalue().to_pybytes())
    return batch


def _checked(reader: CorpusReader, corpus: CorpusFiles, part: str, task: Task) -> Iterator[dict[str, Any]]:
    for entry in checked_entries(reader, corpus, part):
        if not isinstance(entry, (Reject, *TASKS[task].entries)):
            raise CorpusError(f"{reader.name} has no entries for the task {task!r}: got a {type(entry).__name__}")
        yield _scanned(entry)


def _batches(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(rows, size)):
        yield batch


def _scan_file(part: str) -> str:
    return f"_scan/{hashlib.sha256(part.encode()).hexdigest()}.parquet"


def _scanned(entry: Entry | Reject) -> dict[str, Any]:
    if isinstance(entry, Reject):
        return {"id": entry.id, "reject_step": entry.step, "reject_reason": entry.reason}
    known: dict[str, Any] = {"id": entry.id, "entry": encode_entry(entry)}
    known |= {"corpus": entry.corpus, "language": entry.language}
    if isinstance(entry, Utterance):
        return known | {name: getattr(entry, name) for name in ("text", "speaker", "duration", "dnsmos")}
    return known | {"text": _text(entry)}


def _text(conversation: Conversation) -> str:
    return "\n".join(content.text for message in conversation.messages for content in message.content)


def _write_shards(
    files: DatasetFiles, parts: Sequence[str], reasons: pa.Array, chosen: pa.Array, shard_rows: int, made_from: Any
) -> Plan:
    rows = pc.sum(chosen).as_py() or 0
    count = -(-rows // shard_rows)
    live, digests = [], []
    for index, table in enumerate(_shards(files, parts, reasons, chosen, shard_rows)):
        data = _bytes(table)
        files.put(f"_plan/{shard_name(index, count)}.parquet", data)
        live.append(table["reject_step"].null_count)
        digests.append(hashlib.sha256(data).hexdigest())
    values = {
        "fingerprint": fingerprint([made_from, digests]),
        "rows_fingerprint": fingerprint(digests),
        "rows": rows,
        "not_selected": len(reasons) - rows,
        "live": live,
    }
    files.put_json(PLAN, {"made_from": made_from, **values})
    return parse_config(Plan, values)


def _reasons(files: DatasetFiles, parts: Sequence[str], selection: SelectionConfig) -> pa.Array:
    """Why each row of the corpus is rejected, by the reader or by the selection; null where it is not."""
    columns = ["reject_reason", *METADATA.names]
    empty = _SCANNED.empty_table().select(columns)
    scanned = pa.concat_tables([empty, *(_read_scan(files, part, columns) for part in parts)])
    read = pc.is_null(scanned["reject_reason"]).combine_chunks()
    selected = select(scanned.filter(read).drop_columns(["reject_reason"]), selection)
    return pc.replace_with_mask(scanned["reject_reason"].combine_chunks(), read, selected)


def _shards(
    files: DatasetFiles, parts: Sequence[str], reasons: pa.Array, chosen: pa.Array, shard_rows: int
) -> Iterator[pa.Table]:
    """Planned rows in the corpus's order, ``shard_rows`` at a time: what lies together is read together."""
    waiting = _ENTRY.empty_table()
    start = 0
    for part in parts:
        table = _read_scan(files, part, _ENTRY.names)
        span = slice(start, start + table.num_rows)
        start = span.stop
        table = _with_reasons(table, reasons[span]).filter(chosen[span])
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= shard_rows:
            yield waiting.slice(0, shard_rows)
            waiting = waiting.slice(shard_rows)
    if waiting.num_rows:
        yield waiting


def _with_reasons(table: pa.Table, reasons: pa.Array) -> pa.Table:
    """``reasons`` of the selection added to those of the reader."""
    selected_out = pc.and_(pc.is_null(table["reject_step"]), pc.is_valid(reasons))
    steps = pc.if_else(selected_out, SELECT, table["reject_step"])
    return table.set_column(2, _ENTRY.field("reject_step"), steps).set_column(3, _ENTRY.field("reject_reason"), reasons)


def _read_scan(files: DatasetFiles, part: str, columns: list[str]) -> pa.Table:
    return pq.read_table(io.BytesIO(files.read(_scan_file(part))), columns=columns)


def _bytes(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_statistics=False)
    return buffer.getvalue().to_pybytes()
