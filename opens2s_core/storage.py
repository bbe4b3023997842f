"""Directories of weights, on this machine or at a URL (``s3://…``) that every machine of a cluster can read.

Each upload to a URL is a *version* in a new folder. ``manifest.json`` is written last and names the current version and
its files. Readers copy the current version into a local cache and verify each file.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

from fsspec import available_protocols, get_filesystem_class
from fsspec.core import url_to_fs

_MANIFEST = "manifest.json"
_VERSION = re.compile(r"[0-9a-f]{16}")
"""A version's folder: eight digits for the time of its upload (Unix, in seconds), and eight random ones."""
_UPLOAD_SECONDS = 24 * 3600
"""Versions that are younger are not removed: their uploads may still be running."""
_ATTEMPTS = 3
_TOKEN_BYTES = 4

SETTINGS = ("*.json", "*.yaml", "*.txt", "*.jinja")
"""Patterns of the small files of a bundle: all files but the weights."""


class StorageError(ValueError):
    """A directory that is missing or incomplete, a URL that cannot be opened, or a path that leaves its directory."""


def is_url(directory: str | Path) -> bool:
    return "://" in str(directory)


def inside(root: str | Path, path: str, *, allow_outside: bool = False) -> Path:
    """``path``, read from a file under ``root``, as an absolute path; a relative one starts at ``root``.

    Raises :class:`StorageError` for an absolute path, one that leaves ``root`` by ``..``, and, even with
    ``allow_outside``, one with a NUL. Only the text of the path is checked: a symbolic link may point anywhere, since
    the caches of model hubs consist of links.
    """
    if "\0" in path:
        raise StorageError(f"{path!r}: expected a path without a NUL")
    base = os.path.abspath(root)  # "." would be a prefix of no absolute path
    resolved = Path(os.path.abspath(os.path.join(base, path)))
    if not (allow_outside or (not os.path.isabs(path) and resolved.is_relative_to(base))):
        raise StorageError(f"{path!r}: expected a relative path inside {root}")
    return resolved


def absolute_directory(directory: str | Path) -> str:
    """``directory`` as an absolute path, which does not depend on the working directory; a URL as it is."""
    return str(directory) if is_url(directory) else str(Path(directory).resolve())


def fetch_directory(directory: str | Path, *patterns: str) -> Path:
    """The local path of ``directory``: a local directory itself, or a copy of one at a URL.

    Of a URL, only the files that match one of the ``patterns`` are fetched (``"opens2s/*"``; ``*`` matches ``/`` too;
    without patterns: all files); files of earlier calls may be there as well. Each file is checked against the
    manifest when it is fetched, and processes of one machine do not fetch it twice.

    All files of a copy are of one version: the current one when the URL is given. Within a process, the path of a copy
    may be given in place of the URL: it adds files of the same version, which may be outdated by then.

    Copies are stored in ``OPENS2S_CACHE`` (default ``~/.cache/opens2s``). A call with a URL removes copies of its older
    versions, except those that a running process has fetched. Raises :class:`StorageError`.
    """
    if is_url(directory):
        return _fetch_current(_open(str(directory)), patterns)
    if (copy := _copies.get(Path(directory).resolve())) is not None:
        with _locked(copy.path.parent):
            copy.fetch(patterns)
    else:
        _finish_replacing(Path(directory))
    return Path(directory)


@contextmanager
def new_directory(directory: str | Path) -> Iterator[Path]:
    """A local directory to write into, which replaces ``directory`` (a path or URL) when the block ends without an
    exception. Of several writers, the last one to finish wins.

    If the process is killed, the next call of this module for a path finds the complete old or new directory.

    An upload to a URL keeps the previous version, which may still be downloaded. It removes other versions that are
    older than a day: those that were replaced before, and interrupted uploads.
    """
    if is_url(directory):
        remote = _open(str(directory))
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            _upload(Path(temporary), remote)
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
    """Complete the replacement of a directory if the process that replaced it was killed."""
    target = directory.resolve()
    if not _siblings(target, "replaced"):
        return
    with _locked(target.parent):  # a writer may be between its two renames
        for replaced in _siblings(target, "replaced"):
            if not target.exists():
                unfinished = replaced.with_suffix(".unfinished")  # complete by then
                (unfinished if unfinished.exists() else replaced).rename(target)
            shutil.rmtree(replaced, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove the unfinished directories of killed processes; a running writer holds a lock on its own."""
    for unfinished in _siblings(target, "unfinished"):
        with suppress(BlockingIOError), _locked(unfinished, wait=False):
            shutil.rmtree(unfinished)


def copy_files(source: Path, target: Path, *, skip: Callable[[Path], bool] = lambda path: False) -> None:
    """Copy the files of a directory tree, except those to ``skip``; the copies have the permissions of new files."""
    for path in _files(source):
        if not skip(path):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of all files in a directory tree."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = "".join(f"{file.relative_to(path)} {digest(file)}\n" for file in _files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def _files(directory: Path) -> list[Path]:
    """The files of a directory tree, also behind symbolic links. Raises :class:`StorageError` for a dangling link."""
    paths = sorted(Path(folder, name) for folder, _, names in os.walk(directory, followlinks=True) for name in names)
    if dangling := [path for path in paths if not path.exists()]:
        raise StorageError(f"{dangling[0]}: expected a file, got a symbolic link to {os.readlink(dangling[0])!r}")
    return [path for path in paths if path.is_file()]


def is_published(directory: str | Path) -> bool:
    """Whether a complete directory is there."""
    if not is_url(directory):
        _finish_replacing(Path(directory))
        return Path(directory).exists()
    return _open(str(directory)).is_published()


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The folder of a version, and the SHA-256 of its files by name."""

    version: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Remote:
    """A directory at a URL."""

    url: str
    filesystem: Any
    root: str  # its path in the file system, without a slash at the end

    def is_published(self) -> bool:
        return bool(self.filesystem.exists(f"{self.root}/{_MANIFEST}"))

    def manifest(self) -> _Manifest:
        try:
            values = json.loads(self.filesystem.cat_file(f"{self.root}/{_MANIFEST}"))
            if not _VERSION.fullmatch(values["version"]):  # it becomes a part of paths
                raise ValueError(f"version {values['version']!r}")
            return _Manifest(values["version"], dict(values["files"]))
        except FileNotFoundError as error:
            raise StorageError(f"{self.url}: expected a complete directory with {_MANIFEST} in it") from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise StorageError(f"{self.url}/{_MANIFEST}: expected the manifest of a directory: {error}") from error


def _open(url: str) -> _Remote:
    try:
        filesystem, root = url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError) as error:  # no such protocol, or its package is not installed
        raise StorageError(f"{url}: {error}; expected one of the protocols {_usable_protocols()}") from error
    return _Remote(url, filesystem, root.rstrip("/"))


def _usable_protocols() -> list[str]:
    usable = []
    for protocol in available_protocols():
        with suppress(ImportError):
            get_filesystem_class(protocol)
            usable.append(protocol)
    return usable


def _upload(source: Path, remote: _Remote) -> None:
    filesystem, root = remote.filesystem, remote.root
    names = [path.relative_to(source).as_posix() for path in _files(source)]
    previous = remote.manifest().version if remote.is_published() else None
    version = f"{int(time.time()):08x}{secrets.token_hex(4)}"
    targets = [f"{root}/{version}/{name}" for name in names]
    for folder in sorted({f"{root}/{version}", *(target.rpartition("/")[0] for target in targets)}):
        filesystem.makedirs(folder, exist_ok=True)
    filesystem.put([str(source / name) for name in names], targets)
    manifest = {"version": version, "files": {name: digest(source / name) for name in names}}
    filesystem.pipe_file(f"{root}/{_MANIFEST}", json.dumps(manifest, indent=2).encode())
    for path in filesystem.ls(root, detail=False):
        name = path.rstrip("/").rpartition("/")[2]
        if _VERSION.fullmatch(name) and name not in (version, previous) and _is_abandoned(name):
            with suppress(FileNotFoundError):  # another writer removes it too
                filesystem.rm(path, recursive=True)


def _is_abandoned(version: str) -> bool:
    return abs(time.time() - int(version[:8], 16)) > _UPLOAD_SECONDS


class _VersionRemovedError(StorageError):
    """A version was removed from its URL before all files were fetched."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """The files of one version that have been fetched into ``path``. The folder around it must be locked."""

    remote: _Remote
    manifest: _Manifest
    path: Path

    def fetch(self, patterns: Sequence[str]) -> None:
        names = [name for name in self.manifest.files if not patterns or any(fnmatchcase(name, p) for p in patterns)]
        paths = {name: inside(self.path, name) for name in sorted(names)}
        self.path.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as temporary:
            for name, path in paths.items():
                if not path.is_file():
                    unchecked = Path(temporary, "file")
                    self._fetch_file(name, unchecked)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    unchecked.rename(path)

    def _fetch_file(self, name: str, target: Path) -> None:
        source, expected = f"{self.remote.root}/{self.manifest.version}/{name}", self.manifest.files[name]
        try:
            self.remote.filesystem.get_file(source, str(target))
        except FileNotFoundError as error:
            raise _VersionRemovedError(
                f"{self.remote.url}: expected the files that its manifest names: {error}"
            ) from error
        if (got := digest(target)) != expected:
            raise StorageError(f"{source}: expected content of SHA-256 {expected}, got {got}")


_copies: dict[Path, _Copy] = {}
"""What this process has fetched, by path. It holds a shared lock on each until it ends: no process removes them."""


def cache_directory() -> Path:
    """Where copies of remote files are stored on this machine."""
    return Path(os.environ.get("OPENS2S_CACHE", Path.home() / ".cache" / "opens2s")).resolve()


def _fetch_current(remote: _Remote, patterns: Sequence[str]) -> Path:
    url = remote.filesystem.unstrip_protocol(remote.root)
    folder = cache_directory() / hashlib.sha256(url.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for attempt in range(1, _ATTEMPTS + 1):
            manifest = remote.manifest()
            copy = _Copy(remote, manifest, folder / manifest.version)
            try:
                copy.fetch(patterns)
                break
            except _VersionRemovedError:  # it was replaced meanwhile
                if attempt == _ATTEMPTS:
                    raise
        if copy.path not in _copies:
            fcntl.flock(os.open(copy.path, os.O_RDONLY), fcntl.LOCK_SH)
            _copies[copy.path] = copy
        for other in folder.iterdir():
            if other != copy.path:
                with suppress(BlockingIOError), _locked(other, wait=False):
                    shutil.rmtree(other, ignore_errors=True)
    return copy.path


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """An exclusive lock on ``file``, which is made where it is missing and stays; the lock ends with its process.

    It holds among processes of all machines where the file system shares locks, as NFS does. Raises
    ``BlockingIOError`` if it is held already.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file, wait=False, flags=os.O_RDWR | os.O_CREAT):  # NFS locks only what is open for writing
        yield


@contextmanager
def _locked(path: Path, *, wait: bool = True, flags: int = os.O_RDONLY) -> Iterator[None]:
    """An exclusive lock among all processes of this machine; it ends with its process. Without ``wait``, raises
    ``BlockingIOError`` if it is held already."""
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
