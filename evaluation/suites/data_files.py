"""The files of an evaluation set, on a disk or an object store."""

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fsspec.core import url_to_fs


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Files in order. ``paths`` are those of ``filesystem``."""

    filesystem: Any  # of fsspec
    paths: tuple[str, ...]

    def sha256(self) -> str:
        """Of the files' bytes one after the other: of one file, what ``sha256sum`` writes."""
        digest = hashlib.sha256()
        for path in self.paths:
            with self.filesystem.open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def find_files(data: str, patterns: Sequence[str]) -> DataFiles:
    """The file ``data``, or the files in the directory ``data`` that match the first of ``patterns`` with any.

    Raises ``ValueError`` where there are none, or for a URL that cannot be opened.
    """
    try:
        filesystem, path = url_to_fs(data)
    except (ValueError, ImportError) as error:
        raise ValueError(f"{data}: expected a file, a directory or a URL: {error}") from error
    if filesystem.isfile(path):
        return DataFiles(filesystem, (path,))
    for pattern in patterns:
        if found := sorted(filesystem.glob(f"{glob.escape(path.rstrip('/'))}/{pattern}")):
            return DataFiles(filesystem, tuple(found))
    raise ValueError(f"{data}: expected a file, or a directory with {' or '.join(patterns)}")
