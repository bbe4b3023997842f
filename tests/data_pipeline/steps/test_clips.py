import errno
import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.records import AudioReference, RejectedRow
from data_pipeline.steps import clips
from data_pipeline.steps.clips import read_clip
from opens2s_core.audio import decode_audio, encode_audio
from tests.audio_files import noise, noise_file

FLAC = [encode_audio(noise(1.0, seed=seed), 16_000) for seed in range(6)]


def expect(clip: tuple[np.ndarray, int], data: bytes) -> None:
    whole, rate = decode_audio(data)
    assert clip[1] == rate
    np.testing.assert_array_equal(clip[0], whole)


def reject(files: CorpusFiles, reason: str, max_seconds: float = 30.0, **reference: object) -> str:
    with pytest.raises(RejectedRow, match=reason) as error:
        read_clip(files, AudioReference(**reference), max_seconds=max_seconds)
    return str(error.value)


@pytest.fixture
def files(tmp_path: Path) -> CorpusFiles:
    (tmp_path / "a").mkdir()
    return CorpusFiles(str(tmp_path))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], None]:
    def write(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)

    return write


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "opus", "m4a", "mp4"])
def test_a_whole_file(files: CorpusFiles, put: Callable[[str, bytes], None], extension: str) -> None:
    data = noise_file(extension, 2.0)
    put(f"a/clip.{extension}", data)
    expect(read_clip(files, AudioReference(path=f"a/clip.{extension}"), max_seconds=30), data)


def test_bytes_within_a_file(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    put("a.tar", b"\0" * 512 + FLAC[0] + b"\0" * 512 + FLAC[1])
    reference = AudioReference(path="a.tar", offset=1024 + len(FLAC[0]), size=len(FLAC[1]))
    expect(read_clip(files, reference, max_seconds=30), FLAC[1])


def test_a_cut_archive(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    put("a.tar", FLAC[0][:-10])
    reject(files, r"^bad audio: a\.tar: \d+ bytes at offset 0, expected \d+", path="a.tar", offset=0, size=len(FLAC[0]))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_of_an_archive(files: CorpusFiles, tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for number, data in enumerate(FLAC):
            archive.writestr(f"clips/{number}.flac", data)
    for number in (4, 0):
        reference = AudioReference(path="a.zip", member=f"clips/{number}.flac")
        expect(read_clip(files, reference, max_seconds=30), FLAC[number])
    part = AudioReference(path="a.zip", member="clips/3.flac", start=4000, length=800, in_samples=True)
    np.testing.assert_array_equal(read_clip(files, part, max_seconds=1)[0], decode_audio(FLAC[3])[0][4000:4800])
    reject(files, r"^missing file: a\.zip has no member 'clips/9\.flac'", path="a.zip", member="clips/9.flac")


def test_a_damaged_archive(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    put("a.zip", b"PK no archive")
    reject(files, r"^bad archive: a\.zip:x: File is not a zip file", path="a.zip", member="x")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x", FLAC[0])
    data = bytearray(packed.getvalue())
    data[1000] ^= 255
    put("b.zip", bytes(data))
    reject(files, r"^bad archive: b\.zip:x: Bad CRC-32", path="b.zip", member="x")


@pytest.mark.parametrize("as_struct", [True, False])
def test_a_cell_of_a_table_is_read_with_its_row_group_alone(
    files: CorpusFiles, tmp_path: Path, as_struct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [{"bytes": data, "path": "x.flac"} if as_struct else data for data in FLAC]
    pq.write_table(pa.table({"text": ["x"] * 6, "audio": cells}), tmp_path / "a.parquet", row_group_size=2)
    groups = []
    original = pq.ParquetFile.read_row_group

    def read_row_group(table: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        groups.append((group, columns))
        return original(table, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    for row in (2, 3, 5):
        reference = AudioReference(path="a.parquet", row=row, column="audio")
        expect(read_clip(files, reference, max_seconds=30), FLAC[row])
    assert groups == [(1, ["audio"]), (2, ["audio"])]


def test_cells_that_hold_no_clip(files: CorpusFiles, tmp_path: Path, put: Callable[[str, bytes], None]) -> None:
    pq.write_table(pa.table({"audio": [FLAC[0], None], "text": ["a", "b"]}), tmp_path / "a.parquet")
    table = {"path": "a.parquet", "column": "audio"}
    reject(files, r"^missing file: row 1 of a\.parquet has no bytes in 'audio'", **table, row=1)
    reject(files, r"^missing file: row 2 of a\.parquet, which has 2 rows", **table, row=2)
    reject(files, r"^bad table: a\.parquet has no column 'sound': expected one of audio, text", path="a.parquet",
           column="sound", row=0)  # fmt: skip
    reject(files, r"^bad table: a\.parquet: 'text' holds str, expected bytes", path="a.parquet", column="text", row=0)
    put("b.parquet", b"no table")
    reject(files, r"^bad table: b\.parquet", path="b.parquet", column="audio", row=0)


@pytest.mark.parametrize("extension", ["wav", "opus", "mp4"])
def test_a_segment_of_a_long_file_is_read_without_the_rest(
    files: CorpusFiles, put: Callable[[str, bytes], None], extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise_file(extension, 60.0)
    put("long", data)
    monkeypatch.setattr(CorpusFiles, "read", lambda *_: pytest.fail("the whole file is read"))
    samples, rate = read_clip(files, AudioReference(path="long", start=41.5, length=2.0), max_seconds=2)
    assert len(samples) == 2 * rate
    assert np.abs(samples - decode_audio(data)[0][int(41.5 * rate) :][: len(samples)]).mean() < 0.005


def test_missing_files(files: CorpusFiles) -> None:
    for reference in ({}, {"start": 1.0}, {"member": "x"}, {"row": 0, "column": "audio"}, {"offset": 3, "size": 5}):
        reject(files, r"^missing file: a/nothing$", path="a/nothing", **reference)
    reject(files, r"^missing file: a$", path="a")


@pytest.mark.parametrize("segment", [{}, {"start": 1.0}])
def test_paths_out_of_the_corpus(files: CorpusFiles, segment: dict[str, float]) -> None:
    reject(files, r"^path outside the corpus: '\.\./other' leads out of the corpus", path="../other", **segment)


@pytest.mark.parametrize("data", [b"", b"no audio", FLAC[0][:100]])
def test_broken_audio(files: CorpusFiles, put: Callable[[str, bytes], None], data: bytes) -> None:
    put("bad.flac", data)
    reject(files, r"^bad audio: bad\.flac: ", path="bad.flac")


def test_a_clip_that_was_cut_is_rejected(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    data = noise_file("flac", 6.0)
    put("cut.flac", data[: len(data) // 2])
    reject(files, r"^cut short: cut\.flac: audio ends at 2\.\d\d s of the 6\.00 s that its header", path="cut.flac")
    samples, rate = read_clip(files, AudioReference(path="cut.flac", start=1, length=1), max_seconds=30)
    assert len(samples) == rate


def test_a_clip_with_a_hole_is_rejected_with_its_second(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    data = noise_file("flac", 6.0)
    middle = len(data) // 2
    put("hole.flac", data[:middle] + bytes(300) + data[middle + 300 :])
    frame = re.search(r"beyond (\S+) s", reject(files, r"^bad audio: hole\.flac: .* beyond", path="hole.flac"))
    assert frame is not None
    before, _ = read_clip(files, AudioReference(path="hole.flac", length=float(frame[1]) - 0.01), max_seconds=30)
    assert float(frame[1]) == pytest.approx(3.0, abs=0.5)
    np.testing.assert_array_equal(before, decode_audio(data)[0][: len(before)])
    reject(files, r"^bad audio: hole\.flac: audio cannot be read beyond", path="hole.flac", start=2.8, length=0.5)


def test_long_audio(files: CorpusFiles, put: Callable[[str, bytes], None]) -> None:
    put("a.flac", FLAC[0])
    assert len(read_clip(files, AudioReference(path="a.flac"), max_seconds=1.0)[0]) == 16_000
    reject(files, r"^too long: a\.flac: audio of more than 0\.9 s", path="a.flac", max_seconds=0.9)
    reject(files, r"^too long: a\.flac: segment of 5e\+06 s: expected at most 30 s", path="a.flac", length=5e6)
    reject(files, r"^bad audio: a\.flac: segment from 2 s", path="a.flac", start=2.0)


def test_a_file_of_gigabytes_is_not_read_whole(
    files: CorpusFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(2**33)
    monkeypatch.setattr(clips, "_OTHER_BYTES", 1000)
    reject(files, r"^too long: huge\.wav: more than \d+ bytes for at most 1 s", path="huge.wav", max_seconds=1)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG])
def test_a_file_that_cannot_be_read_is_rejected(files: CorpusFiles, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    fail(monkeypatch, OSError(code, os.strerror(code)))
    for reference in REFERENCES:
        reject(files, rf"^unreadable file: a: {os.strerror(code)}", **reference)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), TimeoutError(), ConnectionResetError()])
def test_an_error_that_may_pass_is_raised(files: CorpusFiles, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    fail(monkeypatch, error)
    for reference in REFERENCES:
        with pytest.raises(type(error)):
            read_clip(files, AudioReference(**reference), max_seconds=30)


REFERENCES: list[dict[str, Any]] = [
    {"path": "a"},
    {"path": "a", "start": 1.0},
    {"path": "a", "member": "b"},
    {"path": "a", "row": 0, "column": "audio"},
]


def fail(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def raise_it(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(CorpusFiles, "open", raise_it)
    monkeypatch.setattr(CorpusFiles, "read", raise_it)


def test_links_in_a_circle_and_long_names_are_rejected(files: CorpusFiles, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for reference in ({"path": "loop"}, {"path": "loop", "start": 1.0}, {"path": "loop", "member": "b"}):
        reject(files, "^unreadable file: loop", **reference)
    reject(files, "^unreadable file: ", path="a" * 300)


def test_a_damaged_page_of_a_table_is_rejected(files: CorpusFiles, tmp_path: Path) -> None:
    cells = pa.array([{"bytes": FLAC[0]}], pa.struct([("bytes", pa.binary())]))
    pq.write_table(pa.table({"audio": cells}), tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    start = data.index(b"\x28\xb5\x2f\xfd")  # of a frame of Zstandard
    data[start : start + 16] = bytes(16)
    (tmp_path / "a.parquet").write_bytes(data)
    reject(files, r"^bad table: a\.parquet: .*ZSTD", path="a.parquet", row=0, column="audio")


def test_segments_and_bytes_far_behind_the_end_are_rejected(
    files: CorpusFiles, put: Callable[[str, bytes], None]
) -> None:
    put("a.flac", FLAC[0])
    reject(files, "^bad audio: ", path="a.flac", start=10**18 - 1, length=5, in_samples=True)
    reject(files, "^(unreadable file|bad audio): ", path="a.flac", offset=10**18 - 1, size=10**18 - 1)
    reject(files, "^bad audio: ", path="a.flac", offset=len(FLAC[0]) + 5, size=10**18 - 1)
