import uuid
from pathlib import Path

import fsspec
import pytest

from opens2s_core.storage import StorageError, fetch_directory, is_published, new_directory


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


def test_a_half_published_directory_is_refused(url: str) -> None:
    publish(url, "one")
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm_file(f"{root}/_complete")
    assert not is_published(url)
    with pytest.raises(StorageError, match="expected a whole directory"):
        fetch_directory(url)


def test_a_local_directory_is_used_where_it_is(tmp_path: Path, cache: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    publish(target, "one")
    publish(target, "two")
    assert fetch_directory(str(target)) == target
    assert (target / "weights").read_text() == "two"
    assert not cache.exists()


@pytest.mark.parametrize("remote", [True, False])
def test_what_fails_half_way_changes_nothing(remote: bool, url: str, tmp_path: Path) -> None:
    target = url if remote else str(tmp_path / "bundle")
    publish(target, "one")
    with pytest.raises(FileExistsError):
        publish(target, "half", fail=True)
    assert (fetch_directory(target) / "weights").read_text() == "one"
