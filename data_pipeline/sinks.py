"""Datasets made of shards that are published whole or not at all, on a local disk or an object store.

``<shard>.parquet`` holds rows, ``_rejects/<shard>.parquet`` the rows that could not be used, and
``_shards/<shard>.json``, written last, says that both are complete and by which fingerprint they were made.
``_report.json`` says that the whole dataset is finished. One of schema SAMPLE also has an index, and a manifest that
says the same to those who read samples.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from data_pipeline.dataset.errors import DatasetError
from data_pipeline.dataset.index import INDEX, MANIFEST, build_index, write_index
from data_pipeline.report import Report, merge_reports
from data_pipeline.schema import REJECT, SAMPLE

ROW_GROUP = 64
"""Rows that are read together: a reader of single samples, as training is, fetches little else."""
_SHARD_NAME = re.compile(r"\d{5}-of-\d{5}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A planned piece of work: ``inputs`` is all that its maker needs, as JSON; the fingerprint covers it."""

    name: str
    inputs: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardContent:
    """What a shard's maker returns: rows, rows of schema REJECT, and their counts."""

    rows: pa.Table
    rejects: pa.Table
    report: Report


def plan_shards(inputs: Sequence[Any], *, made_by: Any) -> list[Shard]:
    """One shard for each of ``inputs`` (plain data). ``made_by`` is the recipe and code version, as plain data:
    where it or an input differs, so does the fingerprint, and the shard is made again."""
    texts = [json.dumps(value, sort_keys=True) for value in inputs]
    maker = json.dumps(made_by, sort_keys=True)
    return [
        Shard(
            name=f"{index:05d}-of-{len(texts):05d}",
            inputs=text,
            fingerprint=hashlib.sha256(f"{maker}\n{text}".encode()).hexdigest(),
        )
        for index, text in enumerate(texts)
    ]


def absolute_url(url: str) -> str:
    """``url`` with its protocol: it means the same in every process, as a relative path does not."""
    filesystem, path = url_to_fs(url)
    return filesystem.unstrip_protocol(path)


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the shards of one plan are published. ``url`` as :func:`absolute_url` gives it."""

    url: str

    def start(self, plan: Sequence[Shard]) -> list[Shard]:
        """The shards that are still to be made. What an earlier plan or a killed run left is cleared away."""
        filesystem, root = _open(self.url)
        _remove_temporaries(filesystem, root)
        done = {name: _read_json(filesystem, _marker(root, name)) for name in _names(filesystem, f"{root}/_shards")}
        pending = [shard for shard in plan if done.get(shard.name, {}).get("fingerprint") != shard.fingerprint]
        planned = {shard.name for shard in plan}
        if pending or set(done) != planned:
            for name in ("_report.json", MANIFEST, INDEX):
                _remove(filesystem, f"{root}/{name}")
        for name in sorted(set(done) - planned | set(done) & {shard.name for shard in pending}):
            _remove(filesystem, _marker(root, name))
        for directory in (root, f"{root}/_rejects"):
            for name in sorted(_names(filesystem, directory) - planned):
                _remove(filesystem, f"{directory}/{name}.parquet")
        return pending

    def publish(self, shard: Shard, content: ShardContent) -> None:
        """Make the shard visible: rows, then rejects, then the marker that says they are complete."""
        assert content.rejects.schema.equals(REJECT), f"rejects have columns {content.rejects.schema}"
        filesystem, root = _open(self.url)
        _put(filesystem, root, f"{shard.name}.parquet", _parquet(content.rows))
        _put(filesystem, root, f"_rejects/{shard.name}.parquet", _parquet(content.rejects))
        marker = {"fingerprint": shard.fingerprint, "report": content.report.to_dict()}
        _put(filesystem, root, f"_shards/{shard.name}.json", _json(marker))

    def finish(self, plan: Sequence[Shard]) -> Report:
        """Add up the shards' reports and mark the dataset as finished (writes nothing where it already is)."""
        filesystem, root = _open(self.url)
        markers = [_read_json(filesystem, _marker(root, shard.name)) for shard in plan]
        report = merge_reports(Report(**marker["report"]) for marker in markers)
        if not filesystem.exists(f"{root}/_report.json"):
            _finish_samples(filesystem, root, [shard.name for shard in plan])
            _put(filesystem, root, "_report.json", _json(report.to_dict()))
            _remove_temporaries(filesystem, root)
        return report


def finished_shards(url: str) -> dict[str, str]:
    """Name → fingerprint of the shards of a finished dataset, in order. Raises :class:`DatasetError`."""
    read_report(url)
    filesystem, root = _open(url)
    names = sorted(_names(filesystem, f"{root}/_shards"))
    return {name: _read_json(filesystem, _marker(root, name))["fingerprint"] for name in names}


def read_report(url: str) -> Report:
    """The report of a finished dataset. Raises :class:`DatasetError`."""
    filesystem, root = _open(url)
    if not filesystem.exists(f"{root}/_report.json"):
        raise DatasetError(f"{url} is not a finished dataset: expected {root}/_report.json")
    return Report(**_read_json(filesystem, f"{root}/_report.json"))


def read_shard(url: str, name: str, schema: pa.Schema) -> pa.Table:
    """The rows of one published shard. Raises :class:`DatasetError` where its columns are not those of ``schema``."""
    filesystem, root = _open(url)
    path = f"{root}/{name}.parquet"
    table = pq.read_table(path, filesystem=filesystem)
    if not table.schema.equals(schema):
        raise DatasetError(f"{path} has columns {table.schema.names}, expected those of the schema {schema.names}")
    return table


def read_rows(url: str, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    """Every row of a finished dataset, in order. Raises :class:`DatasetError`."""
    for name in finished_shards(url):
        yield from read_shard(url, name, schema).to_pylist()


def _open(url: str) -> tuple[AbstractFileSystem, str]:
    # Other processes publish meanwhile: a cached listing would hide it.
    filesystem, path = url_to_fs(url, use_listings_cache=False)
    return filesystem, path


def _names(filesystem: AbstractFileSystem, directory: str) -> set[str]:
    if not filesystem.isdir(directory):
        return set()
    stems = (Path(path).stem for path in filesystem.ls(directory, detail=False))
    return {stem for stem in stems if _SHARD_NAME.fullmatch(stem)}


def _marker(root: str, name: str) -> str:
    return f"{root}/_shards/{name}.json"


def _finish_samples(filesystem: AbstractFileSystem, root: str, shards: Sequence[str]) -> None:
    """The index and manifest of a dataset of samples; none of another."""
    if not shards:
        return
    with filesystem.open(f"{root}/{shards[0]}.parquet") as file:
        if not pq.read_schema(file).equals(SAMPLE):
            return
    write_index(filesystem, root, build_index(filesystem, root, shards))
    _put(filesystem, root, MANIFEST, _json({"shards": list(shards)}))


def _remove(filesystem: AbstractFileSystem, path: str) -> None:
    if filesystem.exists(path):
        filesystem.rm_file(path)


def _remove_temporaries(filesystem: AbstractFileSystem, root: str) -> None:
    if filesystem.exists(f"{root}/_tmp"):
        filesystem.rm(f"{root}/_tmp", recursive=True)


def _put(filesystem: AbstractFileSystem, root: str, name: str, data: bytes) -> None:
    """A PUT to an object store shows the whole object or none; on a disk a rename does."""
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.pipe_file(f"{root}/{name}", data)
        return
    target, temporary = Path(root, name), Path(root, "_tmp", uuid.uuid4().hex)
    for path in (target, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(data)
    os.replace(temporary, target)


def _parquet(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, row_group_size=ROW_GROUP)
    return buffer.getvalue().to_pybytes()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _read_json(filesystem: AbstractFileSystem, path: str) -> Any:
    return json.loads(filesystem.cat_file(path))
