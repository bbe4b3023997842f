"""Atomic publication of the shards of a data set."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from data_pipeline.dataset.layout import FILES, MANIFEST, DatasetFiles, file_of
from data_pipeline.dataset.parquet import parquet_bytes
from data_pipeline.dataset.plan import Shard
from data_pipeline.report import Report, merge_reports
from data_pipeline.schema import REJECT

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardContent:
    """What a shard's maker returns: rows, rows of schema REJECT, and their counts.

    ``files`` by suffix are published beside the rows, see :func:`~data_pipeline.dataset.layout.file_of`.
    """

    rows: pa.Table
    rejects: pa.Table
    report: Report
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """What says that a shard is published: what it was made from, its counts, and ``bytes`` and ``sha256`` of its files
    by name."""

    fingerprint: str
    report: Report
    files: Mapping[str, Mapping[str, int | str]]


class ParallelMap(Protocol):
    """As ``map`` of one iterable."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


@dataclass(frozen=True, slots=True)
class DatasetWriter:
    """Publishes the shards of one plan at ``url``, as :func:`~data_pipeline.dataset.absolute_url` gives it."""

    url: str

    def start(self, plan: Sequence[Shard], parallel: ParallelMap = map) -> list[Shard]:
        """The shards that are still to be made. Files of an earlier plan or of a killed run are removed."""
        done = self.published({shard.name: shard.fingerprint for shard in plan}, parallel)
        self.keep([shard.name for shard in plan], done)
        return [shard for shard in plan if shard.name not in done]

    def published(self, shards: Mapping[str, str], parallel: ParallelMap = map) -> dict[str, Marker]:
        """The markers of those ``shards``, fingerprints by name, that were made so and whose files have the SHA-256
        with which they were published. ``parallel`` checks shards: their files are read."""
        there = DatasetFiles(self.url).shards("_shards")
        items = [(name, fingerprint) for name, fingerprint in shards.items() if name in there]
        markers = parallel(self._whole, items)
        return {name: marker for (name, _), marker in zip(items, markers, strict=True) if marker is not None}

    def keep(self, names: Sequence[str], done: Collection[str]) -> None:
        """Remove shards that are not in ``names``, markers of those that are not ``done``, and abandoned temporary
        files. Where that leaves shards to be made, the data set is no longer finished."""
        files, planned = DatasetFiles(self.url), set(names)
        files.remove_abandoned()
        marked = files.shards("_shards")
        if set(done) != planned or marked != planned:
            files.remove(MANIFEST)
        for name in sorted(marked - set(done)):
            files.remove(_marker(name))
        for directory in ("", "_rejects/"):
            for name in sorted(files.shards(directory) - planned):
                files.remove(f"{directory}{name}.parquet")
        for name in files.names(FILES):
            if name.partition(".")[0] not in planned:
                files.remove(f"{FILES}{name}")

    def withdraw(self, names: Sequence[str]) -> None:
        """Let the next job make these shards again."""
        files = DatasetFiles(self.url)
        for name in names:
            files.remove(_marker(name))

    def publish(self, name: str, fingerprint: str, content: ShardContent) -> None:
        """Make a shard visible: its files, then the marker that says they are complete."""
        assert content.rejects.schema.equals(REJECT), f"rejects have columns {content.rejects.schema}"
        files = DatasetFiles(self.url)
        data = {file_of(name, suffix): data for suffix, data in content.files.items()}
        data |= {path: parquet_bytes(table) for path, table in _tables(name, content).items()}
        for path, content_bytes in data.items():
            files.put(path, content_bytes)
        marker = {
            "fingerprint": fingerprint,
            "report": content.report.to_dict(),
            "files": {path: _describe(content_bytes) for path, content_bytes in data.items()},
        }
        files.put_json(_marker(name), marker)

    def markers(self, names: Sequence[str]) -> dict[str, Marker]:
        """The marker of each published shard."""
        files = DatasetFiles(self.url)
        return {name: _read_marker(files, name) for name in names}

    def finish(
        self, names: Sequence[str], facts: dict[str, Any] | None = None, *, markers: Mapping[str, Marker] | None = None
    ) -> Report:
        """Mark the data set as finished, with ``facts`` in its manifest. Does nothing where it already is.
        ``markers`` are those of the shards, read where they are not given."""
        files = DatasetFiles(self.url)
        if files.exists(MANIFEST):
            return Report.from_dict(files.read_json(MANIFEST)["report"])
        markers = self.markers(names) if markers is None else markers
        report = merge_reports(markers[name].report for name in names)
        hashes = {path: value for name in names for path, value in markers[name].files.items()}
        files.put_json(MANIFEST, {"report": report.to_dict(), "shards": list(names), "files": hashes, **(facts or {})})
        files.remove_abandoned()
        return report

    def _whole(self, shard: tuple[str, str]) -> Marker | None:
        """The marker of a shard, by name and fingerprint, that is as it was published."""
        files, (name, fingerprint) = DatasetFiles(self.url), shard
        try:
            marker = _read_marker(files, name)
        except (ValueError, LookupError, TypeError):  # it is damaged itself
            return None
        if marker.fingerprint != fingerprint:
            return None
        # A size tells most damage at once.
        sizes = all(files.size(path) == described["bytes"] for path, described in marker.files.items())
        hashes = sizes and all(files.sha256(path) == described["sha256"] for path, described in marker.files.items())
        return marker if hashes else None


def _tables(name: str, content: ShardContent) -> dict[str, pa.Table]:
    return {f"{name}.parquet": content.rows, f"_rejects/{name}.parquet": content.rejects}


def _describe(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _read_marker(files: DatasetFiles, name: str) -> Marker:
    value = files.read_json(_marker(name))
    return Marker(
        fingerprint=value["fingerprint"], report=Report.from_dict(value["report"]), files=dict(value["files"])
    )


def _marker(name: str) -> str:
    return f"_shards/{name}.json"
