"""Common Voice 13: sentences read by volunteers, MP3."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from data_pipeline.corpora.fields import required_text, text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing, check_splits
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import text_lines
from data_pipeline.records import Age, AudioReference, Gender, Reject, RejectedRow, Utterance

_AGES: dict[str, Age] = {
    "teens": "young",
    "twenties": "young",
    "thirties": "adult",
    "forties": "adult",
    "fourties": "adult",  # the spelling of Common Voice 13
    "fifties": "adult",
    "sixties": "elderly",
    "seventies": "elderly",
    "eighties": "elderly",
    "nineties": "elderly",
}
_GENDERS: dict[str, Gender] = {"female": "female", "male": "male"}
_USUAL = ("train",)
_COLUMNS = ("client_id", "path", "sentence")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommonVoice:
    """Layout, where ``root`` is the directory of the language, of the release, or the one above::

        cv-corpus-13.0-2023-03-09/en/train.tsv      client_id, path, sentence, …, age, gender, …
        cv-corpus-13.0-2023-03-09/en/clips/common_voice_en_1.mp3

    The tables have no quoting: a quotation mark is part of the sentence. ``lang`` is the name of the directory.
    """

    name: ClassVar[str] = "common_voice"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Common Voice 13",
        homepage="https://commonvoice.mozilla.org",
        licence="CC0 1.0",
        consent="Volunteers who recorded sentences for publication. Users agree not to identify speakers.",
        languages=("mul",),  # 108 languages, ISO 639-2
    )
    lang: str = "en"  # the directory's name, such as "zh-CN"
    splits: tuple[str, ...] = _USUAL

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a split."""
        tops = ["", f"{self.lang}/", *(f"{release}/{self.lang}/" for release in files.glob("cv-corpus-*"))]
        names = (name for top in tops for name in files.names(top.rstrip("/")))
        there = sorted({name.removesuffix(".tsv") for name in names if name.endswith(".tsv")})
        check_splits(files, self.splits, there, _USUAL)
        found = [top for top in tops if any(files.exists(f"{top}{split}.tsv") for split in self.splits)]
        if len(found) != 1:
            raise CorpusError(
                f"{files.root}: {'several releases' if found else 'no release'} of Common Voice, expected one "
                f"directory with {' or '.join(f'{self.lang}/{split}.tsv' for split in self.splits)}"
            )
        tables = [f"{found[0]}{split}.tsv" for split in self.splits if files.exists(f"{found[0]}{split}.tsv")]
        for table in tables:
            _header(files, table, text_lines(files, table))
        return tables

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        directory, _, table = part.rpartition("/")
        split = table.removesuffix(".tsv")
        listing = Listing(files)
        clips = f"{directory}/clips".lstrip("/")
        lines = text_lines(files, part)
        header = _header(files, part, lines)
        for number, line in lines:
            row_id = f"{part}:{number}"
            try:
                row = _row(header, line)
                clip = required_text(row, "path", "audio")
                # A clip is in one split of a release; the split in the id keeps ids apart where a table repeats one.
                row_id = f"{split}-{clip.removesuffix('.mp3')}"
                locale = text_field(row, "locale")
                if locale and locale.lower() != self.lang.lower():
                    raise RejectedRow(f"other language: {locale}, expected {self.lang}: set lang in --corpus-settings")
                yield Utterance(
                    id=row_id,
                    corpus=self.name,
                    split=split,
                    language=self.lang.partition("-")[0],
                    audio=AudioReference(path=listing.find(clip, clips)),
                    text=required_text(row, "sentence", "text"),
                    speaker=text_field(row, "client_id"),
                    gender=_GENDERS.get(text_field(row, "gender"), ""),
                    age=_AGES.get(text_field(row, "age"), ""),
                )
            except RejectedRow as error:
                yield bad_row(row_id, error)


def _header(files: CorpusFiles, table: str, lines: Iterator[tuple[int, str | RejectedRow]]) -> list[str]:
    _, line = next(chain(lines, [(0, "")]))
    header = [] if isinstance(line, RejectedRow) else line.split("\t")
    if not set(_COLUMNS) <= set(header):
        raise CorpusError(f"{files.root}/{table}: expected columns {', '.join(_COLUMNS)}, not {line!s:.100}")
    return header


def _row(header: list[str], line: str | RejectedRow) -> dict[str, str]:
    if isinstance(line, RejectedRow):
        raise line
    fields = line.split("\t")
    if len(fields) != len(header):
        raise RejectedRow(f"bad row: {len(fields)} fields, expected {len(header)}")
    return dict(zip(header, fields, strict=True))
