"""Reading finished data sets in order."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.dataset.layout import MANIFEST, DatasetError, DatasetFiles
from data_pipeline.report import Report
from data_pipeline.schema import REJECT


def read_manifest(url: str) -> dict[str, Any]:
    """The manifest of a finished data set. Raises :class:`DatasetError`."""
    files = DatasetFiles(url)
    if not files.exists(MANIFEST):
        raise DatasetError(f"{url} is not a finished data set: expected {files.root}/{MANIFEST}")
    return dict(files.read_json(MANIFEST))


def finished_shards(url: str) -> dict[str, str]:
    """Name → fingerprint of the shards of a finished data set, in order. Raises :class:`DatasetError`."""
    files = DatasetFiles(url)
    return {name: files.read_json(f"_shards/{name}.json")["fingerprint"] for name in read_manifest(url)["shards"]}


def read_report(url: str) -> Report:
    """The report of a finished data set. Raises :class:`DatasetError`."""
    return Report.from_dict(read_manifest(url)["report"])


def read_shard(url: str, name: str, schema: pa.Schema) -> pa.Table:
    """The rows of one published shard. Raises :class:`DatasetError` where its columns are not those of ``schema``."""
    files = DatasetFiles(url)
    path = f"{files.root}/{name}.parquet"
    table = pq.read_table(path, filesystem=files.filesystem)
    if not table.schema.equals(schema):
        raise DatasetError(f"{path} has columns {table.schema.names}, expected those of the schema {schema.names}")
    return table


def read_rejects(url: str, name: str) -> pa.Table:
    """The rejected rows of one published shard."""
    return read_shard(f"{url}/_rejects", name, REJECT)


def read_rows(url: str, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    """Every row of a finished data set, in order. Raises :class:`DatasetError`."""
    for name in read_manifest(url)["shards"]:
        yield from read_shard(url, name, schema).to_pylist()
