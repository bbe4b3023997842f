from pathlib import Path

import pytest

from data_pipeline.corpora.files import CorpusError, CorpusFiles


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


@pytest.mark.parametrize("name", ["corpus [v2]", "what?", "a*b", "[!x]"])
def test_a_root_is_no_pattern(tmp_path: Path, name: str) -> None:
    for directory in (name, "axb", "corpus v"):
        (tmp_path / directory / "data").mkdir(parents=True)
        (tmp_path / directory / "data" / "1.txt").touch()
    assert CorpusFiles(str(tmp_path / name)).glob("data/*.txt") == ["data/1.txt"]
