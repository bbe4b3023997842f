"""Where training runs keep their checkpoints."""

from dataclasses import dataclass
from typing import Any

import pyarrow.fs
import ray.train
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from data_pipeline.dataset import absolute_url


@dataclass(frozen=True, slots=True)
class RunStorage:
    """A run's directory or URL as Ray Train wants it: ``path`` and ``name`` without a protocol, and a file system."""

    path: str
    name: str
    filesystem: pyarrow.fs.FileSystem


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    checkpoint: ray.train.Checkpoint
    metrics: dict[str, Any]


def run_storage(run: str) -> RunStorage:
    filesystem, path = url_to_fs(absolute_url(run), use_listings_cache=False)
    storage, _, name = path.rstrip("/").rpartition("/")
    if isinstance(filesystem, LocalFileSystem):
        return RunStorage(storage, name, pyarrow.fs.LocalFileSystem())
    # The same client and the same settings (endpoint, credentials) as for datasets.
    return RunStorage(storage, name, pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)))


def latest_checkpoint(run: str) -> RunCheckpoint | None:
    """The newest complete checkpoint of a run, or None where there is none yet."""
    where = run_storage(run)
    snapshot = f"{where.path}/{where.name}/checkpoint_manager_snapshot.json"
    if where.filesystem.get_file_info(snapshot).type != pyarrow.fs.FileType.File:
        return None
    result = ray.train.Result.from_path(f"{where.path}/{where.name}", storage_filesystem=where.filesystem)
    if result.checkpoint is None or result.metrics is None:
        return None
    return RunCheckpoint(result.checkpoint, result.metrics)
