"""The files of a data set and their atomic publication, on a local disk or an object store."""

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from opens2s_core.storage import exclusive

SHARD_NAME = re.compile(r"\d{5,}-of-\d{5,}")
MANIFEST = "_dataset.json"
FILES = "_files/"
_TEMPORARY = "_tmp"
_LOCK = "lock"
"""Among the temporary files, which are no part of the data set. It is empty and stays: a file that is removed while
another process opens it would give two locks."""
_ABANDONED_SECONDS = 3600.0
_READ_BYTES = 8 << 20
"""Bytes that an object store is asked for at once."""


class DatasetError(ValueError):
    """A directory that does not hold the expected data set."""


def absolute_url(url: str) -> str:
    """``url`` with its protocol: it means the same in every process, as a relative path does not.

    Raises :class:`DatasetError` for a protocol that cannot be used, and for ``::``, which chains file systems.
    """
    if "::" in url:
        raise DatasetError(f"{url}: expected a directory or a URL without '::', which chains file systems")
    try:
        filesystem, path = url_to_fs(url)
    except (ValueError, ImportError) as error:  # unknown protocol, or its package is missing
        raise DatasetError(f"{url}: expected a directory or a URL: {error}") from error
    return filesystem.unstrip_protocol(path)


def shard_name(index: int, count: int) -> str:
    return f"{index:05d}-of-{count:05d}"


def file_of(shard: str, suffix: str) -> str:
    """The name of a file that belongs to a shard."""
    return f"{FILES}{shard}.{suffix}"


class DatasetFiles:
    """The files of the data set at ``url``; names are relative to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Other processes publish meanwhile: a cached listing would hide it.
        self.filesystem: AbstractFileSystem
        self.filesystem, self.root = url_to_fs(url, use_listings_cache=False)

    def __reduce__(self) -> tuple[type["DatasetFiles"], tuple[str]]:
        return DatasetFiles, (self.url,)

    def exists(self, name: str) -> bool:
        return bool(self.filesystem.exists(f"{self.root}/{name}"))

    def put(self, name: str, data: bytes) -> None:
        """A PUT to an object store shows the whole object or none; on a disk a rename does."""
        if not isinstance(self.filesystem, LocalFileSystem):
            self.filesystem.pipe_file(f"{self.root}/{name}", data)
            return
        target, temporary = Path(self.root, name), Path(self.root, _TEMPORARY, uuid.uuid4().hex)
        for path in (target, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power failure leaves a renamed empty file
        os.replace(temporary, target)

    def put_json(self, name: str, value: Any) -> None:
        self.put(name, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())

    def read(self, name: str) -> bytes:
        return bytes(self.filesystem.cat_file(f"{self.root}/{name}"))

    def read_json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        path = f"{self.root}/{name}"
        return int(self.filesystem.size(path)) if self.filesystem.exists(path) else None

    def sha256(self, name: str) -> str:
        """Of a file, which is read in pieces."""
        with self.filesystem.open(f"{self.root}/{name}", "rb", block_size=_READ_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def for_one_job(self) -> Iterator[None]:
        """Lock a data set on a disk until the block or the process ends. Object stores have no locks.

        Raises :class:`DatasetError` where another job has locked it.
        """
        with ExitStack() as held:
            if isinstance(self.filesystem, LocalFileSystem):
                try:
                    held.enter_context(exclusive(Path(self.root, _TEMPORARY, _LOCK)))
                except BlockingIOError:
                    raise DatasetError(
                        f"{self.url}: another job is preparing it: expected one at a time, wait for it or end it"
                    ) from None
            yield

    def remove_abandoned(self) -> None:
        """Remove temporary files of killed processes. Younger ones may belong to a task that still runs."""
        if isinstance(self.filesystem, LocalFileSystem):
            for path in Path(self.root, _TEMPORARY).glob("*"):
                with suppress(FileNotFoundError):
                    if path.name != _LOCK and path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                        path.unlink()

    def names(self, directory: str) -> list[str]:
        """Sorted names in a directory; none where it does not exist."""
        path = f"{self.root}/{directory}".rstrip("/")
        if not self.filesystem.isdir(path):
            return []
        return sorted(found.rstrip("/").rpartition("/")[2] for found in self.filesystem.ls(path, detail=False))

    def shards(self, directory: str) -> set[str]:
        """The shards of which a file lies in a directory."""
        stems = (Path(name).stem for name in self.names(directory))
        return {stem for stem in stems if SHARD_NAME.fullmatch(stem)}

    def remove(self, name: str) -> None:
        """A file or a whole directory, if it is there."""
        path = f"{self.root}/{name}"
        if self.filesystem.exists(path):
            self.filesystem.rm(path, recursive=True)
