"""Atomic publication of the shards of a data set."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.dataset.parquet import parquet_bytes
from data_pipeline.dataset.plan import Shard
from data_pipeline.report import Report, merge_reports
from data_pipeline.schema import REJECT


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardContent:
    """What a shard's maker returns: rows, rows of schema REJECT, and their counts."""

    rows: pa.Table
    rejects: pa.Table
    report: Report


@dataclass(frozen=True, slots=True)
class DatasetWriter:
    """Publishes the shards of one plan at ``url``, as :func:`~data_pipeline.dataset.absolute_url` gives it."""

    url: str

    def start(self, plan: Sequence[Shard]) -> list[Shard]:
        """The shards that are still to be made. Files of an earlier plan or of a killed run are removed."""
        files = DatasetFiles(self.url)
        files.remove_abandoned()
        done = {name: files.read_json(_marker(name)) for name in files.shards("_shards")}
        pending = [shard for shard in plan if done.get(shard.name, {}).get("fingerprint") != shard.fingerprint]
        planned = {shard.name for shard in plan}
        if pending or set(done) != planned:
            files.remove(MANIFEST)
        for name in sorted(set(done) - planned | set(done) & {shard.name for shard in pending}):
            files.remove(_marker(name))
        for directory in ("", "_rejects/"):
            for name in sorted(files.shards(directory) - planned):
                files.remove(f"{directory}{name}.parquet")
        return pending

    def pending(self, names: Sequence[str], fingerprint: str) -> list[str]:
        """Those of the shards that are not published, or whose files are not as they were published. Where there are
        any, the data set is no longer finished."""
        files = DatasetFiles(self.url)
        files.remove_abandoned()
        done = files.shards("_shards")
        pending = [name for name in names if name not in done or not _is_whole(files, name, fingerprint)]
        if pending:
            files.remove(MANIFEST)
        return pending

    def withdraw(self, names: Sequence[str]) -> None:
        """Let the next job make these shards again."""
        files = DatasetFiles(self.url)
        for name in names:
            files.remove(_marker(name))

    def publish(self, name: str, fingerprint: str, content: ShardContent) -> None:
        """Make a shard visible: rows, then rejects, then the marker that says they are complete."""
        assert content.rejects.schema.equals(REJECT), f"rejects have columns {content.rejects.schema}"
        files = DatasetFiles(self.url)
        data = {path: parquet_bytes(table) for path, table in _tables(name, content).items()}
        for path, content_bytes in data.items():
            files.put(path, content_bytes)
        marker = {
            "fingerprint": fingerprint,
            "report": content.report.to_dict(),
            "files": {path: _describe(content_bytes) for path, content_bytes in data.items()},
        }
        files.put_json(_marker(name), marker)

    def reports(self, names: Sequence[str]) -> dict[str, Report]:
        """The report of each published shard."""
        files = DatasetFiles(self.url)
        return {name: Report.from_dict(files.read_json(_marker(name))["report"]) for name in names}

    def finish(self, names: Sequence[str], facts: dict[str, Any] | None = None) -> Report:
        """Mark the data set as finished, with ``facts`` in its manifest. Does nothing where it already is."""
        files = DatasetFiles(self.url)
        if files.exists(MANIFEST):
            return Report.from_dict(files.read_json(MANIFEST)["report"])
        report = merge_reports(self.reports(names).values())
        hashes = {path: value for name in names for path, value in files.read_json(_marker(name))["files"].items()}
        files.put_json(MANIFEST, {"report": report.to_dict(), "shards": list(names), "files": hashes, **(facts or {})})
        files.remove_abandoned()
        return report


def _tables(name: str, content: ShardContent) -> dict[str, pa.Table]:
    return {f"{name}.parquet": content.rows, f"_rejects/{name}.parquet": content.rejects}


def _describe(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _is_whole(files: DatasetFiles, name: str, fingerprint: str) -> bool:
    """Sizes are compared and not hashes: a data set may have terabytes."""
    marker = files.read_json(_marker(name))
    if marker["fingerprint"] != fingerprint:
        return False
    return all(files.size(path) == described["bytes"] for path, described in marker["files"].items())


def _marker(name: str) -> str:
    return f"_shards/{name}.json"
