"""Where training runs keep their checkpoints."""

from dataclasses import dataclass
from typing import Any

import ray.train
from fsspec.core import url_to_fs

from data_pipeline.sinks import absolute_url


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    checkpoint: ray.train.Checkpoint
    metrics: dict[str, Any]


def split_run(run: str) -> tuple[str, str]:
    """A run's directory or URL as Ray Train wants it: storage path and name."""
    storage, _, name = absolute_url(run).rstrip("/").rpartition("/")
    return storage.removeprefix("file://"), name


def latest_checkpoint(run: str) -> RunCheckpoint | None:
    """The newest complete checkpoint of a run, or None where there is none yet."""
    storage, name = split_run(run)
    filesystem, path = url_to_fs(absolute_url(run))
    if not filesystem.exists(f"{path}/checkpoint_manager_snapshot.json"):
        return None
    result = ray.train.Result.from_path(f"{storage}/{name}")
    if result.checkpoint is None or result.metrics is None:
        return None
    return RunCheckpoint(result.checkpoint, result.metrics)
