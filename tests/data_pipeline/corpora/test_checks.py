from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from data_pipeline.corpora import CorpusCard, CorpusError, CorpusFiles
from data_pipeline.corpora.checks import checked_entries, checked_parts
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.records import AudioReference, Reject, Utterance


class Reader:
    name: ClassVar[str] = "reader"
    card: ClassVar[CorpusCard] = Manifest.card

    def __init__(self, **fields: str) -> None:
        self._fields = {"id": "a", "corpus": "c", "split": "s", "language": "en", "path": "a.wav", **fields}

    def parts(self, files: CorpusFiles) -> list[str]:
        return [self._fields["split"]]

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        fields = dict(self._fields)
        yield Utterance(audio=AudioReference(path=fields.pop("path")), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["\ud83d", "a\0b", "a\ufffdb"])
@pytest.mark.parametrize("field", ["id", "split", "language", "path", "text", "speaker", "original_emotion"])
def test_what_is_not_unicode_text_is_rejected_in_every_field(tmp_path: Path, field: str, text: str) -> None:
    (found,) = checked_entries(Reader(**{field: text}), CorpusFiles(str(tmp_path)), "part")
    assert isinstance(found, Reject)
    assert found.reason.startswith("bad encoding: ")
    assert (found.id + found.reason).encode()


def test_a_good_entry_stays_as_it_is(tmp_path: Path) -> None:
    reader, files = Reader(text="你好 é 😀"), CorpusFiles(str(tmp_path))
    assert list(checked_entries(reader, files, "part")) == list(reader.read(files, "part"))


def test_a_part_whose_name_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not UTF-8"):
        checked_parts(Reader(split="\udcff"), CorpusFiles(str(tmp_path)))
