"""Directories of weights that may lie elsewhere: on S3, say, where every machine of a cluster finds them."""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

_MANIFEST = "manifest.json"
"""At a URL, each upload has a folder of its own; this file, written last, names the one that counts and its files."""

_VERSION = re.compile(r"[0-9a-f]{16}")
_ATTEMPTS = 3
_TOKEN_BYTES = 4

SETTINGS = ("*.json", "*.yaml", "*.txt", "*.jinja")
"""Patterns of the files of a bundle that are small: all but weights."""


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


def fetch_directory(directory: str | Path, *patterns: str) -> Path:
    """``directory`` as a path of this machine: itself if it is one, else a copy whose files are fetched once and kept.

    Of a URL only files are fetched that match one of the ``patterns`` (``"opens2s/*"``; ``*`` matches ``/`` too; none:
    all files); what others have fetched may be there as well. Each file is checked against the manifest when it is
    fetched. Processes of one machine wait for one another, so a file is fetched once. Copies lie under
    ``OPENS2S_CACHE`` (default ``~/.cache/opens2s``). Raises :class:`StorageError`.
    """
    if not is_url(directory):
        _finish_replacing(Path(directory))
        return Path(directory)
    filesystem, root = url_to_fs(str(directory), use_listings_cache=False)
    cache = Path(os.environ.get("OPENS2S_CACHE", Path.home() / ".cache" / "opens2s"))
    for attempt in range(1, _ATTEMPTS + 1):
        manifest = _read_manifest(filesystem, root, str(directory))
        target = cache / hashlib.sha256(f"{directory}\n{manifest.version}".encode()).hexdigest()[:32]
        try:
            _fetch_files(filesystem, root, manifest, patterns, target)
        except FileNotFoundError as error:
            if attempt == _ATTEMPTS:
                raise StorageError(f"{directory}: expected the files that its manifest names: {error}") from error
        else:
            break  # otherwise it was replaced meanwhile
    return target


@contextmanager
def new_directory(directory: str | Path) -> Iterator[Path]:
    """A local directory to write into, which replaces ``directory`` (a path or URL) when the block ends without an
    exception; of several writers the last one counts.

    Where the process is killed, the next call of this module for a path finds the old directory or the new one, whole.
    """
    if is_url(directory):
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            _upload(Path(temporary), str(directory))
        return
    target = Path(directory).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    _finish_replacing(target)
    token = secrets.token_hex(_TOKEN_BYTES)
    unfinished, replaced = _sibling(target, token, "unfinished"), _sibling(target, token, "replaced")
    with ExitStack() as held:
        with _locked(target.parent):
            _remove_abandoned(target)
            unfinished.mkdir()
            held.enter_context(_locked(unfinished))
        try:
            yield unfinished
        except BaseException:
            shutil.rmtree(unfinished)
            raise
        with _locked(target.parent):
            if target.exists():
                target.rename(replaced)
            unfinished.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def _sibling(target: Path, token: str, state: str) -> Path:
    return target.with_name(f".{target.name}.{token}.{state}")


def _siblings(target: Path, state: str) -> list[Path]:
    pattern = f".{escape(target.name)}.{'[0-9a-f]' * 2 * _TOKEN_BYTES}.{state}"
    return sorted(target.parent.glob(pattern)) if target.name else []


def _finish_replacing(directory: Path) -> None:
    """Complete the replacement of a directory during which a process was killed."""
    target = directory.resolve()
    if not _siblings(target, "replaced"):
        return
    with _locked(target.parent):  # else a writer may be at it
        for replaced in _siblings(target, "replaced"):
            if not target.exists():
                unfinished = replaced.with_suffix(".unfinished")  # complete by then
                (unfinished if unfinished.exists() else replaced).rename(target)
            shutil.rmtree(replaced, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes had begun to write; each writer that lives holds a lock."""
    for unfinished in _siblings(target, "unfinished"):
        with suppress(BlockingIOError), _locked(unfinished, wait=False):
            shutil.rmtree(unfinished)


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


def is_published(directory: str | Path) -> bool:
    """Whether a whole directory is there."""
    if not is_url(directory):
        _finish_replacing(Path(directory))
        return Path(directory).exists()
    filesystem, root = url_to_fs(str(directory), use_listings_cache=False)
    return bool(filesystem.exists(f"{root}/{_MANIFEST}"))


@dataclass(frozen=True, slots=True)
class _Manifest:
    """``version`` is the folder that counts; ``files`` are its files, with their SHA-256."""

    version: str
    files: Mapping[str, str]


def _read_manifest(filesystem: Any, root: str, url: str) -> _Manifest:
    try:
        values = json.loads(filesystem.cat_file(f"{root}/{_MANIFEST}"))
        if not _VERSION.fullmatch(values["version"]):  # it becomes a path, which is removed later
            raise ValueError(f"version {values['version']!r}")
        return _Manifest(values["version"], dict(values["files"]))
    except FileNotFoundError as error:
        raise StorageError(f"{url}: expected a whole directory with {_MANIFEST} in it") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StorageError(f"{url}/{_MANIFEST}: expected the manifest of a directory: {error}") from error


def _upload(source: Path, url: str) -> None:
    filesystem, root = url_to_fs(url, use_listings_cache=False)
    before = _read_manifest(filesystem, root, url).version if filesystem.exists(f"{root}/{_MANIFEST}") else None
    version = secrets.token_hex(8)
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    filesystem.put(f"{source}/", f"{root}/{version}/", recursive=True)
    manifest = {"version": version, "files": {name: digest(source / name) for name in names}}
    filesystem.pipe_file(f"{root}/{_MANIFEST}", json.dumps(manifest, indent=2).encode())
    if before is not None:
        with suppress(FileNotFoundError):  # another writer was first
            filesystem.rm(f"{root}/{before}", recursive=True)


def _fetch_files(filesystem: Any, root: str, manifest: _Manifest, patterns: Sequence[str], target: Path) -> None:
    wanted = {name for name in manifest.files if not patterns or any(fnmatchcase(name, one) for one in patterns)}
    paths = {name: inside(target, name) for name in sorted(wanted)}
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as temporary:
        for name, path in paths.items():
            if not path.is_file():
                copy = Path(temporary, "file")
                _fetch_file(filesystem, f"{root}/{manifest.version}/{name}", copy, manifest.files[name])
                path.parent.mkdir(parents=True, exist_ok=True)
                copy.rename(path)


def _fetch_file(filesystem: Any, source: str, copy: Path, expected: str) -> None:
    filesystem.get_file(source, str(copy))
    if (got := digest(copy)) != expected:
        raise StorageError(f"{source}: expected content of SHA-256 {expected}, got {got}")


@contextmanager
def _locked(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Exclusive among all processes of this machine; it ends with its process. Without ``wait``, ``BlockingIOError``
    where another holds it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
