"""A folder on this machine or at a URL, for what a training run writes file by file."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from opens2s_core.storage import StorageError, absolute_directory


@dataclass(frozen=True, slots=True)
class Folder:
    """``url`` is an absolute path, or a URL of any protocol of fsspec. Folders are created by the first write.

    Reading a missing file raises ``FileNotFoundError``.
    """

    url: str

    @classmethod
    def at(cls, directory: str | Path) -> "Folder":
        """The folder at a path, which may be relative, or at a URL. Raises :class:`StorageError` for a URL of an
        unknown protocol."""
        folder = cls(absolute_directory(directory).rstrip("/"))
        try:
            folder._open()
        except (ValueError, ImportError) as error:
            raise StorageError(f"{directory}: {error}") from error
        return folder

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.url}/{name}")

    @property
    def path(self) -> Path | None:
        """The path of a folder on this machine, None for one elsewhere."""
        filesystem, root = self._open()
        return Path(root) if isinstance(filesystem, LocalFileSystem) else None

    def names(self) -> list[str]:
        """Names of the files and folders in it, sorted; none if it does not exist."""
        filesystem, root = self._open()
        try:
            return sorted(path.rstrip("/").rpartition("/")[2] for path in filesystem.ls(root, detail=False))
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        filesystem, root = self._open()
        return bool(filesystem.exists(f"{root}/{name}"))

    def read(self, name: str) -> bytes:
        filesystem, root = self._open()
        return bytes(filesystem.cat_file(f"{root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. A reader finds the old or the new content, never a part, also after a power failure."""
        if self.path is None:
            filesystem, root = self._open()
            filesystem.makedirs(root, exist_ok=True)
            filesystem.pipe_file(f"{root}/{name}", content)
            return
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / f".{name}.unfinished"
        unfinished.write_bytes(content)
        sync(unfinished)
        unfinished.replace(self.path / name)

    def upload(self, source: Path, name: str) -> None:
        """Copy the file ``source`` of this machine into the folder."""
        filesystem, root = self._open()
        target = f"{root}/{name}"
        filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(source), target)

    def download(self, name: str, target: Path) -> None:
        filesystem, root = self._open()
        filesystem.get_file(f"{root}/{name}", str(target))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; it may be missing."""
        filesystem, root = self._open()
        if self.path is not None and (self.path / name).is_dir():
            shutil.rmtree(self.path / name)
            return
        with suppress(FileNotFoundError):
            filesystem.rm(f"{root}/{name}", recursive=True)

    def _open(self) -> tuple[Any, str]:
        filesystem, root = url_to_fs(self.url, use_listings_cache=False)
        return filesystem, root.rstrip("/")


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
