import hashlib
import json
import multiprocessing
import os
import re
import shutil
import sys
import time
import uuid
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core import storage
from opens2s_core.storage import (
    StorageError,
    copy_files,
    digest,
    fetch_directory,
    inside,
    is_published,
    new_directory,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENS2S_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://bucket/{uuid.uuid4().hex}"


def publish(target: str | Path, content: str, *, fail: bool = False) -> None:
    with new_directory(target) as path:
        (path / "weights").write_text(content)
        (path / "inner").mkdir()
        if fail:
            (path / "inner").mkdir()
        (path / "inner" / "config").write_text("{}")


def test_what_is_published_is_fetched_on_another_machine(url: str) -> None:
    assert not is_published(url)
    publish(url, "one")
    assert is_published(url)
    copy = fetch_directory(url)
    assert (copy / "weights").read_text() == "one"
    assert (copy / "inner" / "config").read_text() == "{}"


def test_a_copy_is_fetched_once_and_again_when_it_changes(url: str) -> None:
    publish(url, "one")
    first = fetch_directory(url)
    (first / "weights").touch()
    assert fetch_directory(url) == first
    publish(url, "two")
    assert (fetch_directory(url) / "weights").read_text() == "two"


def test_an_incomplete_directory_is_refused(url: str) -> None:
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm_file(f"{root}/manifest.json")
    assert not is_published(url)
    with pytest.raises(StorageError, match="expected a complete directory"):
        fetch_directory(url)


def versions(url: str) -> dict[str, str]:
    """The content of ``weights`` in each version at a URL."""
    filesystem, root = fsspec.core.url_to_fs(url)
    folders = {path.removeprefix(f"{root}/").partition("/")[0] for path in filesystem.find(root)} - {"manifest.json"}
    return {folder: filesystem.cat_file(f"{root}/{folder}/weights").decode() for folder in folders}


def interrupt_upload(url: str, content: str, *, seconds: int) -> str:
    """The version that an upload has left which began ``seconds`` ago and was interrupted."""
    filesystem, root = fsspec.core.url_to_fs(url)
    version = f"{int(time.time()) - seconds:08x}89abcdef"
    filesystem.pipe_file(f"{root}/{version}/weights", content.encode())
    return version


def test_files_of_an_interrupted_upload_are_not_fetched(url: str) -> None:
    publish(url, "one")
    interrupt_upload(url, "half", seconds=60)
    publish(url, "two")
    copy = fetch_directory(url)
    assert sorted(path.name for path in copy.rglob("*") if path.is_file()) == ["config", "weights"]
    assert (copy / "weights").read_text() == "two"


def test_an_upload_removes_interrupted_ones_that_are_a_day_old(url: str) -> None:
    interrupt_upload(url, "abandoned", seconds=25 * 3600)
    running = interrupt_upload(url, "running", seconds=3600)
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(f"{root}/notes/weights", b"not a version")
    publish(url, "one")
    assert sorted(versions(url).values()) == ["not a version", "one", "running"]
    assert versions(url)[running] == "running"


def test_an_upload_keeps_the_previous_version_and_removes_older_ones(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("one", "two", "three"):
        publish(url, content)
    assert sorted(versions(url).values()) == ["one", "three", "two"], "they may still be downloaded"
    monkeypatch.setattr(storage, "_UPLOAD_SECONDS", -1)
    publish(url, "four")
    assert sorted(versions(url).values()) == ["four", "three"]
    assert (fetch_directory(url) / "weights").read_text() == "four"


def test_a_copy_is_completed_with_files_of_its_own_version(url: str) -> None:
    publish(url, "one")
    copy = fetch_directory(url, "inner/*")
    publish(url, "two")
    assert fetch_directory(copy, "weights") == copy
    assert (copy / "weights").read_text() == "one"
    assert (fetch_directory(url) / "weights").read_text() == "two"


def test_a_copy_of_a_version_that_was_removed_cannot_be_completed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_UPLOAD_SECONDS", -1)
    publish(url, "one")
    copy = fetch_directory(url, "inner/*")
    publish(url, "two")
    publish(url, "three")
    with pytest.raises(StorageError, match=f"{url}: expected the files that its manifest names"):
        fetch_directory(copy, "weights")


def fetch_and_wait(url: str, fetched: Any, end: Any) -> None:
    fetch_directory(url)
    fetched.set()
    end.wait(60)


def test_copies_of_older_versions_are_removed_unless_a_process_uses_them(tmp_path: Path, cache: Path) -> None:
    url = f"file://{tmp_path}/remote"
    fork = multiprocessing.get_context("fork")
    end = fork.Event()
    processes = []

    def copies() -> list[str]:
        return sorted(path.read_text() for path in cache.rglob("weights"))

    for content in ("one", "two"):
        publish(url, content)
        fetched = fork.Event()
        processes.append(fork.Process(target=fetch_and_wait, args=(url, fetched, end)))
        processes[-1].start()
        assert fetched.wait(60)
    assert copies() == ["one", "two"]
    end.set()
    for process in processes:
        process.join()
    other = f"file://{tmp_path}/other"
    publish(other, "other")
    fetch_directory(other)
    publish(url, "three")
    (fetch_directory(url).parent / "tmp-of-a-killed-process").mkdir()
    fetch_directory(url)
    assert copies() == ["other", "three"]
    assert len(list(cache.glob("*/*"))) == 2


def test_a_slash_at_the_end_of_a_url_makes_no_difference(url: str, cache: Path) -> None:
    publish(f"{url}/", "one")
    assert is_published(url)
    assert is_published(f"{url}/")
    assert fetch_directory(f"{url}/") == fetch_directory(url)
    assert len(list(cache.rglob("weights"))) == 1
    publish(url, "two")
    assert (fetch_directory(f"{url}//") / "weights").read_text() == "two"


@pytest.mark.parametrize("url", ["nope://bucket/model", "gs://bucket/model"])
def test_a_url_of_another_protocol_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # not installed
    for use in (fetch_directory, is_published, lambda url: publish(url, "one")):
        with pytest.raises(StorageError, match=rf"^{url}: .*expected one of the protocols \[.*'file'.*'s3'") as caught:
            use(url)
        assert "'gs'" not in str(caught.value)


@pytest.mark.parametrize("remote", [True, False])
def test_directories_behind_links_are_stored_too(url: str, tmp_path: Path, remote: bool) -> None:
    publish(tmp_path / "outside", "one")
    source = tmp_path / "source"
    source.mkdir()
    (source / "part").symlink_to(tmp_path / "outside")
    if remote:
        with new_directory(url) as target:
            (target / "part").symlink_to(tmp_path / "outside")
        copy = fetch_directory(url)
    else:
        copy_files(source, copy := tmp_path / "copy")
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == [
        "part/inner/config",
        "part/weights",
    ]
    assert digest(copy) == digest(source)


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_a_directory_without_files_is_stored(protocol: str, tmp_path: Path) -> None:
    with new_directory(url := f"{protocol}://{tmp_path}/empty"):
        pass
    assert list(fetch_directory(url).iterdir()) == []


def publish_link(url: str) -> None:
    with new_directory(url) as target:
        (target / "weights").write_text("two")
        (target / "inner").mkdir()
        (target / "inner" / "link").symlink_to("nowhere")


def test_a_dangling_link_is_refused_before_anything_is_uploaded(url: str) -> None:
    publish(url, "one")
    with pytest.raises(StorageError, match=r"inner/link: expected a file, got a symbolic link to 'nowhere'"):
        publish_link(url)
    assert list(versions(url).values()) == ["one"]


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "bundle", "one")
    (tmp_path / "bundle" / "again").symlink_to(".")
    with pytest.raises(StorageError, match="again: expected a file, got a symbolic link to"):
        copy_files(tmp_path / "bundle", tmp_path / "copy")


def test_a_file_with_other_content_than_was_published_is_refused(url: str) -> None:
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    (weights,) = [path for path in filesystem.find(root) if path.endswith("weights")]
    filesystem.pipe_file(weights, b"damaged")
    with pytest.raises(StorageError, match="expected content of SHA-256"):
        fetch_directory(url)
    assert (fetch_directory(url, "inner/*") / "inner" / "config").read_text() == "{}"


def test_an_invalid_manifest_is_refused(url: str) -> None:
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(f"{root}/manifest.json", b"[]")
    with pytest.raises(StorageError, match="expected the manifest of a directory"):
        fetch_directory(url)


def test_only_what_is_asked_for_is_fetched(url: str) -> None:
    publish(url, "one")
    copy = fetch_directory(url, "inner/*")
    assert [path.name for path in copy.rglob("*") if path.is_file()] == ["config"]
    assert fetch_directory(url) == copy
    assert (copy / "weights").read_text() == "one"


def fetch_counted(url: str, cache: str, fetched: Any) -> None:
    os.environ["OPENS2S_CACHE"] = cache
    fetch_file = storage._Copy._fetch_file

    def slow(*args: Any) -> None:
        with fetched.get_lock():
            fetched.value += 1
        time.sleep(0.3)
        fetch_file(*args)

    storage._Copy._fetch_file = slow  # type: ignore[method-assign]
    fetch_directory(url)


def test_processes_of_one_machine_fetch_a_file_once(tmp_path: Path, cache: Path) -> None:
    url = f"file://{tmp_path}/remote"
    publish(url, "one")
    fork = multiprocessing.get_context("fork")
    fetched = fork.Value("i", 0)
    processes = [fork.Process(target=fetch_counted, args=(url, str(cache), fetched)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert fetched.value == 2


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_process_killed_while_it_replaces_a_directory_loses_neither(
    renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    publish(target, "one")
    rename, left = Path.rename, renames

    class Killed(BaseException):
        pass

    def killed(path: Path, to: Path) -> Path:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with suppress(Killed):
        publish(target, "two")
    monkeypatch.undo()
    assert is_published(target)
    assert (fetch_directory(target) / "weights").read_text() == ("one" if renames == 0 else "two")
    publish(target, "three")
    assert (target / "weights").read_text() == "three"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_of_two_writers_each_has_a_directory_and_the_last_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with new_directory(target) as outer:
        (outer / "outer").touch()
        with new_directory(target) as inner:
            (inner / "inner").touch()
        assert [path.name for path in target.iterdir()] == ["inner"]
        (outer / "too").touch()
    assert sorted(path.name for path in target.iterdir()) == ["outer", "too"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("bundle", "bundle.replaced", "bundle.unfinished", ".bundle.b.0123abcd.replaced"):
        (tmp_path / name).mkdir()
    fetch_directory(tmp_path / "bundle")
    publish(tmp_path / "bundle", "one")
    assert len(list(tmp_path.iterdir())) == 4


def test_the_working_directory_is_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch_directory(".") == Path(".")
    assert is_published(".")


def test_the_target_of_a_link_is_restored(tmp_path: Path) -> None:
    (tmp_path / ".real.0123abcd.replaced").mkdir()
    (tmp_path / ".real.0123abcd.unfinished").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert is_published(tmp_path / "link")


@pytest.mark.parametrize("version", ["", ".", "../..", 5, None])
def test_an_invalid_version_is_refused(version: Any, url: str) -> None:
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(f"{root}/manifest.json", json.dumps({"version": version, "files": {}}).encode())
    with pytest.raises(StorageError, match="expected the manifest of a directory"):
        fetch_directory(url)
    with pytest.raises(StorageError, match="expected the manifest of a directory"):
        publish(url, "two")


@pytest.mark.parametrize("removals", [1, 3])
def test_a_version_that_is_removed_while_it_is_fetched_is_replaced_by_the_current_one(
    removals: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_UPLOAD_SECONDS", -1)
    publish(url, "old")
    fetch_file, again = storage._Copy._fetch_file, iter(range(removals))

    def removed(*args: Any) -> None:
        if next(again, None) is not None:
            publish(url, "newer")
            publish(url, "newest")
        fetch_file(*args)

    monkeypatch.setattr(storage._Copy, "_fetch_file", removed)
    if removals == 1:
        assert (fetch_directory(url) / "weights").read_text() == "newest"
    else:
        with pytest.raises(StorageError, match="expected the files that its manifest names"):
            fetch_directory(url)


def test_a_version_that_is_replaced_while_it_is_fetched_is_fetched_whole(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(url, "one")
    fetch_file, again = storage._Copy._fetch_file, iter([True])

    def replaced(*args: Any) -> None:
        if next(again, False):
            publish(url, "two")
        fetch_file(*args)

    monkeypatch.setattr(storage._Copy, "_fetch_file", replaced)
    assert (fetch_directory(url) / "weights").read_text() == "one"


def test_a_local_directory_is_used_where_it_is(tmp_path: Path, cache: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    publish(target, "one")
    publish(target, "two")
    assert fetch_directory(str(target)) == target
    assert (target / "weights").read_text() == "two"
    assert not cache.exists()


@pytest.mark.parametrize("remote", [True, False])
def test_a_failed_writer_changes_nothing(remote: bool, url: str, tmp_path: Path) -> None:
    target = url if remote else str(tmp_path / "bundle")
    publish(target, "one")
    with pytest.raises(FileExistsError):
        publish(target, "half", fail=True)
    assert (fetch_directory(target) / "weights").read_text() == "one"
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def of(files: dict[str, str]) -> str:
        directory = tmp_path / uuid.uuid4().hex
        for name, content in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content)
        return digest(directory)

    assert of({"a": "1", "b/c": "2"}) == of({"b/c": "2", "a": "1"})
    others = [{"a": "1", "b/c": "3"}, {"a": "1", "c": "2"}, {"a": "1"}, {"a": "2", "b/c": "1"}]
    assert len({of(files) for files in ({"a": "1", "b/c": "2"}, *others)}) == 5
    (tmp_path / "one").write_text("1")
    assert digest(tmp_path / "one") == hashlib.sha256(b"1").hexdigest()


def test_files_are_copied_with_the_permissions_of_new_ones(tmp_path: Path) -> None:
    source = tmp_path / "source"
    publish(source, "one")
    for path in (source / "inner" / "config", source / "inner", source):
        path.chmod(0o555 if path.is_dir() else 0o444)
    copy_files(source, tmp_path / "copy", skip=lambda path: path.name == "weights")
    assert [path.name for path in (tmp_path / "copy").rglob("*")] == ["inner", "config"]
    (tmp_path / "copy" / "inner" / "config").write_text("new")
    for path in (source, source / "inner"):
        path.chmod(0o755)


@pytest.mark.parametrize("path", ["a", "a/b.safetensors", "./a", "a/../b", "a/b/../../c", "..a", "a..", ""])
def test_a_path_within_its_root_is_found(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, path) == Path(os.path.abspath(tmp_path / path))
    assert inside(".", path) == Path(os.path.abspath(path))


@pytest.mark.parametrize(
    "path", ["..", "../a", "a/../..", "a/../../b", "./../a", "/etc/passwd", "/", "//a", "../{root}x"]
)
def test_a_path_that_leaves_its_root_is_refused_unless_allowed(tmp_path: Path, path: str) -> None:
    path = path.format(root=tmp_path.name)
    for root in (tmp_path, "."):
        with pytest.raises(StorageError, match=f"{re.escape(repr(path))}: expected a relative path inside"):
            inside(root, path)
    assert inside(tmp_path, path, allow_outside=True) == Path(os.path.abspath(tmp_path / path))


@pytest.mark.parametrize("allow_outside", [True, False])
def test_a_nul_in_a_path_is_refused(tmp_path: Path, allow_outside: bool) -> None:
    with pytest.raises(StorageError, match="without a NUL"):
        inside(tmp_path, "a\0b", allow_outside=allow_outside)


def test_links_may_point_out_of_a_root_as_those_of_model_caches_do(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("weights")
    root = tmp_path / "snapshot"
    root.mkdir()
    (root / "model").symlink_to("../blob")
    assert inside(root, "model").read_text() == "weights"


def test_a_file_at_a_url_that_would_leave_the_copy_is_not_fetched(tmp_path: Path) -> None:
    url = f"memory://bucket/{uuid.uuid4().hex}"
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    manifest = json.loads(filesystem.cat_file(f"{root}/manifest.json"))
    manifest["files"]["../../../planted"] = manifest["files"]["weights"]
    filesystem.pipe_file(f"{root}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(StorageError, match="planted"):
        fetch_directory(url)
    assert not list(tmp_path.rglob("planted"))


@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=8))
def test_no_walk_of_names_leaves_a_root(names: list[str]) -> None:
    depths = list(accumulate(({"..": -1, ".": 0, "": 0}.get(name, 1) for name in names), initial=0))
    path = "/".join(names)
    if depths[-1] < 0 or path.startswith("/"):
        with pytest.raises(StorageError):
            inside("/root/of/it", path)
    elif min(depths) == 0:
        assert inside("/root/of/it", path).is_relative_to("/root/of/it")
