import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.layout import DatasetFiles, absolute_url

JOB = """
import sys, time
from data_pipeline.dataset.layout import DatasetFiles
with DatasetFiles(sys.argv[1]).for_one_job():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("url", ["/data/a::b", "a::b", "s3://bucket/a::b", "zip://x::file:///data/a.zip"])
def test_a_chain_of_file_systems_is_refused(url: str) -> None:
    with pytest.raises(DatasetError, match=f"{url}: expected a directory or a URL without '::'"):
        absolute_url(url)


def lock(url: str) -> None:
    with DatasetFiles(url).for_one_job():
        pass


def test_a_data_set_is_locked_for_one_job_until_its_process_dies(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(DatasetError, match=f"{tmp_path}: another job is preparing it"):
            lock(str(tmp_path))
        process.send_signal(signal.SIGKILL)
        process.wait()
    lock(str(tmp_path))


def test_a_lock_ends_with_its_block_and_lies_among_temporary_files(tmp_path: Path) -> None:
    lock(str(tmp_path))
    lock(str(tmp_path))
    assert [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()] == ["_tmp"]


def test_a_lock_is_no_abandoned_file(tmp_path: Path) -> None:
    files, old = DatasetFiles(str(tmp_path)), time.time() - 7200
    with files.for_one_job():
        (tmp_path / "_tmp" / "abandoned").touch()
        for path in (tmp_path / "_tmp").iterdir():
            os.utime(path, (old, old))
        files.remove_abandoned()
        assert not (tmp_path / "_tmp" / "abandoned").exists()
        with pytest.raises(DatasetError, match="another job"):
            lock(str(tmp_path))


def test_an_object_store_has_no_lock(s3: object) -> None:
    with DatasetFiles("s3://bucket/locked").for_one_job():
        lock("s3://bucket/locked")
