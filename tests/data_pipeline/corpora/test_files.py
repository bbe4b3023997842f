from pathlib import Path

import pytest

from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing, top_directory
from data_pipeline.records import RejectedRow
from tests.data_pipeline.corpora.reading import write


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../other", "a/../../other", "..", "..\\other", "s3://other/a", "C:\\a", "a\0b"]
)
def test_paths_cannot_leave_the_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the corpus"):
        CorpusFiles(str(tmp_path)).read(name)


def test_a_part_of_a_file_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"0123456789")
    assert CorpusFiles(str(tmp_path)).read("archive", offset=2, size=3) == b"234"


def test_the_first_encoding_that_fits_decodes_a_text(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("你好".encode("gb18030"))
    assert CorpusFiles(str(tmp_path)).text("text", ("utf-8-sig", "gb18030")) == "你好"


def test_a_text_in_no_known_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(CorpusError, match="expected text in utf-8-sig"):
        CorpusFiles(str(tmp_path)).text("text")


def test_a_root_that_is_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a directory"):
        CorpusFiles(str(tmp_path / "nothing")).names()


@pytest.mark.parametrize("protocol", ["", "file://"])
def test_an_absolute_path_below_the_root_becomes_relative(tmp_path: Path, protocol: str) -> None:
    files = CorpusFiles(f"{protocol}{tmp_path}")
    assert files.relative(f"{tmp_path}/clips/a.wav:0:5") == "clips/a.wav:0:5"
    assert files.relative(f"file://{tmp_path}/a.wav") == "a.wav"
    assert files.relative("clips/a.wav") == "clips/a.wav"
    assert files.relative(f"{tmp_path}-other/a.wav") == f"{tmp_path}-other/a.wav"


def test_a_root_that_is_named_relatively_has_absolute_paths_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data/a.wav")
    monkeypatch.chdir(tmp_path)
    assert CorpusFiles("data").relative(f"{tmp_path}/data/a.wav") == "a.wav"


@pytest.mark.parametrize(
    ("name", "directory", "path"), [("a/b.wav", "", "a/b.wav"), ("c.wav", "", "c.wav"), ("./b.wav", "a", "a/b.wav")]
)
def test_a_file_that_a_table_names_is_found(tmp_path: Path, name: str, directory: str, path: str) -> None:
    write(tmp_path / path)
    assert Listing(CorpusFiles(str(tmp_path))).find(name, directory) == path


def test_a_file_that_is_missing_or_outside_is_a_rejected_row(tmp_path: Path) -> None:
    write(tmp_path / "a/b.wav")
    listing = Listing(CorpusFiles(str(tmp_path)))
    for name in ("a/d.wav", "e/f.wav"):
        with pytest.raises(RejectedRow, match=f"missing file: {name}"):
            listing.find(name)
    with pytest.raises(RejectedRow, match="path outside the corpus: "):
        listing.find("../a/b.wav", "a")


def test_the_root_may_be_the_directory_above(tmp_path: Path) -> None:
    assert top_directory(CorpusFiles(str(tmp_path)), "MEAD", "mead") == ""
    write(tmp_path / "mead/file")
    assert top_directory(CorpusFiles(str(tmp_path)), "MEAD", "mead") == "mead/"


@pytest.mark.parametrize("name", ["corpus [v2]", "what?", "a*b", "[!x]"])
def test_a_root_is_no_pattern(tmp_path: Path, name: str) -> None:
    for directory in (name, "axb", "corpus v"):
        (tmp_path / directory / "data").mkdir(parents=True)
        (tmp_path / directory / "data" / "1.txt").touch()
    assert CorpusFiles(str(tmp_path / name)).glob("data/*.txt") == ["data/1.txt"]
