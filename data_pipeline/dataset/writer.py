"""Atomic publication of the shards of a data set."""

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
        files.remove("_tmp")
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
        """Those of the shards that are not published yet."""
        files = DatasetFiles(self.url)
        files.remove("_tmp")
        done = files.shards("_shards")
        return [
            name for name in names if name not in done or files.read_json(_marker(name))["fingerprint"] != fingerprint
        ]

    def publish(self, name: str, fingerprint: str, content: ShardContent) -> None:
        """Make a shard visible: rows, then rejects, then the marker that says they are complete."""
        assert content.rejects.schema.equals(REJECT), f"rejects have columns {content.rejects.schema}"
        files = DatasetFiles(self.url)
        files.put(f"{name}.parquet", parquet_bytes(content.rows))
        files.put(f"_rejects/{name}.parquet", parquet_bytes(content.rejects))
        files.put_json(_marker(name), {"fingerprint": fingerprint, "report": content.report.to_dict()})

    def report(self, names: Sequence[str]) -> Report:
        """The reports of published shards, added up."""
        files = DatasetFiles(self.url)
        return merge_reports(Report.from_dict(files.read_json(_marker(name))["report"]) for name in names)

    def finish(self, names: Sequence[str], facts: dict[str, Any] | None = None) -> Report:
        """Mark the data set as finished, with ``facts`` in its manifest. Does nothing where it already is."""
        files = DatasetFiles(self.url)
        if files.exists(MANIFEST):
            return Report.from_dict(files.read_json(MANIFEST)["report"])
        report = self.report(names)
        files.put_json(MANIFEST, {"report": report.to_dict(), "shards": list(names), **(facts or {})})
        files.remove("_tmp")
        return report


def _marker(name: str) -> str:
    return f"_shards/{name}.json"
