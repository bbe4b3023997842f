"""Checkpoints of a training run: full tensors by name, independent of the number of ranks that wrote or read them.

``step-00000100/`` holds safetensors files, written by the ranks, each with its share of the names, and
``checkpoint.json``, written last, with the SHA-256 and the tensors of every file. A folder without it is incomplete: it
is never read, and removed by the next run.
"""

import fcntl
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import SHARD_BYTES, write_tensors
from opens2s_core.checkpoint.shards import LazyTensor, open_shard
from opens2s_core.config import ConfigError
from opens2s_core.storage import cache_directory, digest
from opens2s_core.training.folder import Folder, sync

_MANIFEST = "checkpoint.json"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionConfig:
    """Which checkpoints are kept: the last ones, and the one with the lowest value of the metric ``best``, if given."""

    last: int = 2
    best: str | None = None

    def __post_init__(self) -> None:
        if self.last < 1:
            raise ConfigError(f"last: expected at least 1 checkpoint to keep, got {self.last}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """One rank of the processes that write a checkpoint together.

    ``attempt`` is a number that these processes share and that earlier ones did not have: a killed process of an
    earlier attempt may still be writing.
    """

    rank: int
    world: int
    attempt: int

    def stem(self, rank: int) -> str:
        return f"rank-{rank:05}-of-{self.world:05}-{self.attempt:06x}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint. ``state`` is plain data that the loop needs to resume."""

    folder: Folder
    steps: int
    metrics: Mapping[str, float]
    state: Mapping[str, Any]
    _files: Mapping[str, Any] = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[dict[str, LazyTensor]]:
        """All tensors by name, with shapes and types. Each is read on demand, from a file that is verified before its
        first use; of a checkpoint at a URL only such files are fetched, once for all processes of a machine.

        Reading raises :class:`CheckpointError` for a file that is missing or damaged.
        """
        cache = None
        if self.folder.path is None:
            cache = cache_directory() / "checkpoints" / sha256(self.folder.url.encode()).hexdigest()[:32]
        tensors = {}
        for name, entry in self._files.items():
            file = _File(self.folder, name, entry["sha256"], cache)
            for key, (dtype, shape) in entry["tensors"].items():
                tensors[key] = LazyTensor(torch.Size(shape), getattr(torch, dtype), partial(file.read, key))
        try:
            yield tensors
        finally:
            if cache is not None:
                with _locked(cache.parent):
                    shutil.rmtree(cache, ignore_errors=True)


class CheckpointStore:
    """The checkpoints of a run in one folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        return sorted(steps for steps, name in self._folders() if (self._folder / name).exists(_MANIFEST))

    def latest(self) -> Checkpoint | None:
        steps = self.steps()
        return self.read(steps[-1]) if steps else None

    def read(self, steps: int) -> Checkpoint:
        """The complete checkpoint after ``steps``. Raises :class:`CheckpointError` if there is none or its
        ``checkpoint.json`` is malformed."""
        folder = self._at(steps)
        try:
            return _parse_manifest(folder, steps, folder.read(_MANIFEST))
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder.url}: expected a complete checkpoint with {_MANIFEST}") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{folder.url}/{_MANIFEST}: expected the manifest of a checkpoint: {error}"
            ) from error

    def write(self, steps: int, writer: Writer, tensors: Mapping[str, Tensor], *, max_bytes: int = SHARD_BYTES) -> None:
        """Write one rank's share of a checkpoint, and a description of its files for :meth:`publish`."""
        folder, stem = self._at(steps), writer.stem(writer.rank)
        with tempfile.TemporaryDirectory() as temporary:
            directory = folder.path or Path(temporary)
            if tensors:
                write_tensors(tensors, directory, stem, max_bytes)
            files = {}
            for path in sorted(directory.glob(f"{stem}*.safetensors")):
                sync(path)
                described = {name: _describe(tensor) for name, tensor in open_shard(path).items()}
                files[path.name] = {"sha256": digest(path), "tensors": described}
                if folder.path is None:
                    folder.upload(path, path.name)
        folder.write(f"{stem}.json", json.dumps(files).encode())

    def publish(self, steps: int, writer: Writer, metrics: Mapping[str, float], state: Mapping[str, Any]) -> None:
        """Complete the checkpoint that all ranks of ``writer.world`` have written. Called by one of them.

        Raises :class:`CheckpointError` if the share of a rank is not there, or if two ranks wrote the same name.
        """
        folder = self._at(steps)
        files: dict[str, Any] = {}
        names: set[str] = set()
        for rank in range(writer.world):
            description = f"{writer.stem(rank)}.json"
            try:
                of_rank = json.loads(folder.read(description))
            except FileNotFoundError as error:
                raise CheckpointError(
                    f"{folder.url}: expected {description}: is the run in a folder that all machines share?"
                ) from error
            for entry in of_rank.values():
                if twice := sorted(names & entry["tensors"].keys()):
                    raise CheckpointError(f"{folder.url}: expected each tensor from one rank, got {twice} again")
                names |= entry["tensors"].keys()
            files |= of_rank
        manifest = {"steps": steps, "metrics": _finite(metrics), "state": dict(state), "files": files}
        folder.write(_MANIFEST, json.dumps(manifest, allow_nan=False).encode())
        for name in folder.names():
            if name not in files and name != _MANIFEST:
                folder.remove(name)

    def prune(self, retention: RetentionConfig) -> None:
        """Remove the complete checkpoints that are not kept."""
        steps = self.steps()
        kept = set(steps[-retention.last :])
        if retention.best is not None:
            metrics = {step: self.read(step).metrics for step in steps}
            known = {step: values[retention.best] for step, values in metrics.items() if retention.best in values}
            if known:
                kept.add(min(known, key=lambda step: (known[step], -step)))
        for step in steps:
            if step not in kept:
                self._at(step).remove(_MANIFEST)  # first, so that no part of it can be read as a whole
                self._folder.remove(_name(step))

    def remove_incomplete(self) -> None:
        """Remove what killed processes left. No process may be writing to the store."""
        for _, name in self._folders():
            if not (self._folder / name).exists(_MANIFEST):
                self._folder.remove(name)

    def _folders(self) -> list[tuple[int, str]]:
        matches = [_NAME.fullmatch(name) for name in self._folder.names()]
        return [(int(match[1]), match[0]) for match in matches if match]

    def _at(self, steps: int) -> Folder:
        return self._folder / _name(steps)


def _name(steps: int) -> str:
    return f"step-{steps:08}"


def _describe(tensor: LazyTensor) -> tuple[str, list[int]]:
    return str(tensor.dtype).removeprefix("torch."), list(tensor.shape)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _parse_manifest(folder: Folder, steps: int, content: bytes) -> Checkpoint:
    values = json.loads(content)
    if values["steps"] != steps:
        raise ValueError(f"expected steps {steps}, got {values['steps']!r}")
    for name, entry in values["files"].items():
        if "/" in name or not isinstance(entry["sha256"], str):
            raise ValueError(f"expected names of files with their SHA-256, got {name!r}: {entry['sha256']!r}")
        for dtype, shape in entry["tensors"].values():
            if not isinstance(getattr(torch, dtype), torch.dtype) or not all(type(size) is int for size in shape):
                raise ValueError(f"expected types and shapes of tensors, got {dtype!r}, {shape!r}")
    return Checkpoint(folder, steps, dict(values["metrics"]), dict(values["state"]), values["files"])


class _File:
    """One file of a checkpoint, opened when its first tensor is read."""

    def __init__(self, folder: Folder, name: str, expected: str, cache: Path | None) -> None:
        self._folder, self._name, self._expected, self._cache = folder, name, expected, cache
        self._tensors: dict[str, LazyTensor] | None = None

    def read(self, tensor: str) -> Tensor:
        if self._tensors is None:
            self._tensors = self._open()
        return self._tensors[tensor].read()

    def _open(self) -> dict[str, LazyTensor]:
        if self._cache is None:
            assert self._folder.path is not None
            path = self._folder.path / self._name
            self._verify(path)
            return open_shard(path)
        with _locked(self._cache.parent):
            self._cache.mkdir(exist_ok=True)
            path = self._cache / f"{self._expected}.safetensors"
            if not path.exists():
                self._fetch(path)
            return open_shard(path)  # stays readable when another process removes the copy

    def _fetch(self, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            unverified = Path(temporary, path.name)
            try:
                self._folder.download(self._name, unverified)
            except FileNotFoundError:
                unverified.unlink(missing_ok=True)
            self._verify(unverified)
            unverified.rename(path)

    def _verify(self, path: Path) -> None:
        found = digest(path) if path.is_file() else "no file"
        if found != self._expected:
            raise CheckpointError(
                f"{self._folder.url}: damaged file {self._name}: expected SHA-256 {self._expected}, got {found}"
            )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
