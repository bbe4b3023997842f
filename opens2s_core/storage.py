"""Directories of weights that may lie elsewhere: on S3, say, where every machine of a cluster finds them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs

_COMPLETE = "_complete"
"""Written last into a directory at a URL, which shows its files one by one; its content names what was put there."""


class StorageError(ValueError):
    """A directory that is not there or not yet whole, or a path that leaves it."""


def is_url(directory: str | Path) -> bool:
    return "://" in str(directory)


def inside(root: str | Path, path: str, *, allow_outside: bool = False) -> Path:
    """Where ``path``, as some file under ``root`` gives it, lies: relative paths start at ``root``.

    Judged by its letters alone: an absolute path, one that ``..`` leads out of ``root``, or one with a NUL raises
    :class:`StorageError`. Links are followed wherever they point, since the caches of model hubs are made of links;
    a NUL is refused even with ``allow_outside``.
    """
    if "\0" in path:
        raise StorageError(f"{path!r}: expected a path without a NUL")
    base = os.path.abspath(root)  # of "." every path would be a part
    resolved = Path(os.path.abspath(os.path.join(base, path)))
    if not (allow_outside or (not os.path.isabs(path) and resolved.is_relative_to(base))):
        raise StorageError(f"{path!r}: expected a relative path inside {root}")
    return resolved


def absolute_directory(directory: str | Path) -> str:
    """``directory`` as it is called in every process, whatever its working directory."""
    return str(directory) if is_url(directory) else str(Path(directory).resolve())


def fetch_directory(directory: str | Path) -> Path:
    """``directory`` as a path of this machine: itself if it is one, else a copy that is fetched once and kept.

    Copies lie under ``OPENS2S_CACHE`` (default ``~/.cache/opens2s``). Raises :class:`StorageError`.
    """
    if not is_url(directory):
        return Path(directory)
    filesystem, root = url_to_fs(str(directory), use_listings_cache=False)
    if not filesystem.exists(f"{root}/{_COMPLETE}"):
        raise StorageError(f"{directory}: expected a whole directory with {_COMPLETE} in it")
    mark = filesystem.cat_file(f"{root}/{_COMPLETE}")
    name = hashlib.sha256(f"{directory}\n".encode() + mark).hexdigest()[:32]
    cache = Path(os.environ.get("OPENS2S_CACHE", Path.home() / ".cache" / "opens2s"))
    target = cache / name
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            copy = Path(temporary, name)
            for path in filesystem.find(root):
                inside(copy, path[len(root) + 1 :])
            filesystem.get(f"{root}/", f"{copy}/", recursive=True)
            _move(copy, target)
    return target


@contextmanager
def new_directory(directory: str | Path) -> Iterator[Path]:
    """A local directory to write into, which replaces ``directory`` (a path or URL) when the block ends well.

    At a path it appears whole or not at all; at a URL it counts once its last file is there.
    """
    if is_url(directory):
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            _upload(Path(temporary), str(directory))
        return
    target = Path(directory).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    if unfinished.exists():  # left by a process that was killed
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    try:
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def copy_files(source: Path, target: Path, *, skip: Callable[[Path], bool] = lambda path: False) -> None:
    """Copy a directory's files, at all levels, but those to ``skip``; the copies have the rights of new files."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and not skip(path):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of all files in a directory."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("".join(f"{file.relative_to(path)} {digest(file)}\n" for file in files).encode()).hexdigest()


def _upload(source: Path, url: str) -> None:
    filesystem, root = url_to_fs(url, use_listings_cache=False)
    if filesystem.exists(f"{root}/{_COMPLETE}"):
        filesystem.rm_file(f"{root}/{_COMPLETE}")
    filesystem.put(f"{source}/", f"{root}/", recursive=True)
    filesystem.pipe_file(f"{root}/{_COMPLETE}", digest(source).encode())


def is_published(directory: str | Path) -> bool:
    """Whether a whole directory is there."""
    if not is_url(directory):
        return Path(directory).exists()
    filesystem, root = url_to_fs(str(directory), use_listings_cache=False)
    return bool(filesystem.exists(f"{root}/{_COMPLETE}"))


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():  # else another process of this machine was first
            raise
