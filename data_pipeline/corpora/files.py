"""The files of a corpus, confined to its root: which there are, and what is in them."""

import errno
import glob
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, NoReturn

from fsspec.core import url_to_fs

from data_pipeline.corpora.fields import is_encodable
from data_pipeline.records import RejectedRow

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")  # a URL or a drive


class CorpusError(ValueError):
    """A corpus that cannot be read as a whole: names the path and what was expected there."""


def path_below_root(name: str) -> str:
    """``name`` normalised, with "/". Raises ``ValueError`` where it is not a path below the root of a corpus."""
    normal = posixpath.normpath(name.replace("\\", "/"))
    if normal.startswith(("/", "../")) or normal in ("..", ".") or _ABSOLUTE.match(name) or "\0" in name:
        raise ValueError(f"{name!r} leads out of the corpus: expected a path below its root")
    return normal


@dataclass(frozen=True)
class CorpusFiles:
    """The files under ``root``, a local directory or a URL. Paths are relative to it, with "/", and cannot leave it.

    Listings leave out what macOS writes beside files: ``._*`` and ``.DS_Store``.
    """

    root: str

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        filesystem, path = url_to_fs(self.root)
        if not filesystem.isdir(path):
            raise CorpusError(f"{self.root} is not a directory: expected the root of a corpus")
        return filesystem, path.rstrip("/")

    def __getstate__(self) -> dict[str, str]:
        return {"root": self.root}  # every process opens its own connection

    def path(self, name: str) -> str:
        """``name`` normalised. Raises :class:`CorpusError` where it leads out of the root."""
        try:
            return path_below_root(name)
        except ValueError as error:
            raise CorpusError(str(error)) from None

    def relative(self, path: str) -> str:
        """An absolute path or URL below the root, relative to it. Any other text is returned as it is."""
        filesystem, root = self._opened
        for top in (root, filesystem.unstrip_protocol(root)):
            # The root of an object store is "bucket/path", as a relative path may be.
            if _ABSOLUTE.match(top) or top.startswith("/"):
                path = path.removeprefix(f"{top}/")
        return path

    def exists(self, name: str) -> bool:
        filesystem, root = self._opened
        return bool(filesystem.exists(f"{root}/{self.path(name)}"))

    def glob(self, pattern: str) -> list[str]:
        """Sorted paths that match, with ``*``, ``?``, ``[…]`` and ``**``. Raises :class:`CorpusError` for a pattern
        that leads out of the root."""
        filesystem, root = self._opened
        matches = filesystem.glob(f"{glob.escape(root)}/{self.path(pattern)}")
        return sorted(found[len(root) + 1 :] for found in matches if not _is_of_macos(found))

    def names(self, directory: str = "") -> list[str]:
        """Sorted names in a directory; none where it does not exist."""
        filesystem, root = self._opened
        where = f"{root}/{self.path(directory)}" if directory else root
        if not filesystem.isdir(where):
            return []
        names = (posixpath.basename(found.rstrip("/")) for found in filesystem.ls(where, detail=False))
        return sorted(name for name in names if not _is_of_macos(name))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read bytes from, with ``seek``. Raises ``FileNotFoundError``."""
        filesystem, root = self._opened
        with filesystem.open(f"{root}/{self.path(name)}", "rb") as file:
            yield file

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes of a file, or ``size`` of them from ``offset`` on. Raises ``FileNotFoundError``."""
        filesystem, root = self._opened
        end = None if size is None else offset + size
        return bytes(filesystem.cat_file(f"{root}/{self.path(name)}", start=offset, end=end))

    def text(self, name: str, encodings: tuple[str, ...] = ("utf-8-sig",)) -> str:
        """A text file, by the first of ``encodings`` that decodes all of it. Raises ``FileNotFoundError`` and
        :class:`CorpusError`."""
        data = self.read(name)
        for encoding in encodings:
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                continue
        raise CorpusError(f"{self.root}/{name}: expected text in {' or '.join(encodings)}")


def _is_of_macos(path: str) -> bool:
    name = posixpath.basename(path)
    return name.startswith("._") or name == ".DS_Store"


class Listing:
    """Which files of a corpus are there: each directory is listed once, since asking for single files is slow on object
    stores. The last 64 listings are kept."""

    def __init__(self, files: CorpusFiles) -> None:
        self._names = lru_cache(maxsize=64)(lambda directory: frozenset(files.names(directory)))

    def find(self, name: str, directory: str = "") -> str:
        """The path of a file that a table names, relative to the root of the corpus.

        ``name`` is relative to ``directory`` and cannot leave it. Raises :class:`RejectedRow` where it leads out or
        is not there.
        """
        if not is_encodable(name):
            raise RejectedRow(f"bad encoding: {name!r:.100}, expected Unicode text")
        try:
            path = posixpath.join(directory, path_below_root(name))
        except ValueError as error:
            raise RejectedRow(f"path outside the corpus: {error}") from None
        try:
            names = self._names(posixpath.dirname(path))
        except OSError as error:
            raise_rejected(error, path)
        if posixpath.basename(path) not in names:
            raise RejectedRow(f"missing file: {path}")
        return path


def raise_rejected(error: OSError, path: str) -> NoReturn:
    """Raises :class:`RejectedRow` where ``error`` concerns the one file at ``path``, else ``error``, such as one of a
    disk or a connection, after which another attempt may succeed."""
    if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
        raise RejectedRow(f"missing file: {path}") from error
    # EINVAL: a place in the file that the file system cannot have.
    if isinstance(error, PermissionError) or error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL):
        raise RejectedRow(f"unreadable file: {path}: {error.strerror or error}") from error
    raise error


def is_damage(error: OSError) -> bool:
    """Whether a decoder, such as one of Arrow, raised ``error`` about what it read: no system has given it a number."""
    return type(error) is OSError and error.errno is None


def check_splits(files: CorpusFiles, splits: Sequence[str], there: Sequence[str], usual: Sequence[str]) -> None:
    """Raises :class:`CorpusError` for a split that is neither ``there`` nor one of the ``usual`` ones of the corpus: it
    would read as an empty one."""
    if unknown := [split for split in splits if split not in there and split not in usual]:
        raise CorpusError(
            f"{files.root}: no split {', '.join(map(repr, unknown))}; there: {', '.join(there) or 'no splits'}"
        )


def top_directory(files: CorpusFiles, *names: str) -> str:
    """``<name>/`` of the first directory below the root that is there, or nothing where the root holds the corpus."""
    return next((f"{name}/" for name in names if files.names(name)), "")
