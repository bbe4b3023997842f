"""LibriSpeech: English books read by volunteers, FLAC, 16 kHz."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles, check_splits, top_directory
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row
from data_pipeline.corpora.tables import text_lines
from data_pipeline.records import AudioReference, Gender, Reject, RejectedRow, Utterance

_USUAL = ("train-clean-100", "train-clean-360", "train-other-500")
_GENDERS: dict[str, Gender] = {"F": "female", "M": "male"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LibriSpeech:
    """Layout, below ``root`` or its directory ``LibriSpeech``::

        SPEAKERS.TXT                                    id | sex | subset | minutes | name
        train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 CHAPTER ONE
        train-clean-100/103/1240/103-1240-0000.flac

    Texts are upper case. Without ``SPEAKERS.TXT``, genders are unknown.
    """

    name: ClassVar[str] = "librispeech"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="LibriSpeech",
        homepage="https://www.openslr.org/12",
        licence="CC BY 4.0",
        consent="Volunteers who read books for LibriVox and released the recordings to the public domain.",
        languages=("en",),
    )
    splits: tuple[str, ...] = _USUAL

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a speaker."""
        top = top_directory(files, "LibriSpeech")
        names = files.names(top.rstrip("/"))
        check_splits(files, self.splits, [name for name in names if files.names(f"{top}{name}")], _USUAL)
        found = [f"{top}{split}/{name}" for split in self.splits for name in files.names(f"{top}{split}")]
        if not found:
            raise CorpusError(f"{files.root}: expected directories of LibriSpeech, one of {', '.join(self.splits)}")
        return found

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        *_, split, speaker = part.split("/")
        gender = _genders(files).get(speaker, "")
        for chapter in files.names(part):
            directory = f"{part}/{chapter}"
            there = set(files.names(directory))
            if not there:  # a stray file
                continue
            table = f"{speaker}-{chapter}.trans.txt"
            texts = _texts(files, f"{directory}/{table}") if table in there else {}
            for name in sorted({file.removesuffix(".flac") for file in there if file.endswith(".flac")} | texts.keys()):
                try:
                    if table not in there:
                        raise RejectedRow(f"no transcript: expected {directory}/{table}")
                    if name not in texts:
                        raise RejectedRow(f"no text: expected a line of it in {directory}/{table}")
                    text = texts[name]
                    if isinstance(text, RejectedRow):
                        raise text
                    if f"{name}.flac" not in there:
                        raise RejectedRow(f"missing file: {directory}/{name}.flac")
                    yield Utterance(
                        id=name,
                        corpus=self.name,
                        split=split,
                        language="en",
                        audio=AudioReference(path=f"{directory}/{name}.flac"),
                        text=text,
                        sample_rate=16_000,
                        speaker=speaker,
                        gender=gender,
                    )
                except RejectedRow as error:
                    yield bad_row(name, error)


def _texts(files: CorpusFiles, table: str) -> dict[str, str | RejectedRow]:
    """Id → text, or why there is none; lines that cannot be read have the id ``{table}:{line}``."""
    texts: dict[str, str | RejectedRow] = {}
    for number, line in text_lines(files, table):
        if isinstance(line, RejectedRow):
            texts[f"{table}:{number}"] = line
            continue
        name, *rest = line.split(maxsplit=1)
        if name in texts:
            texts[f"{table}:{number}"] = RejectedRow(f"duplicate id: {name} is in an earlier line")
        elif not rest:
            texts[name] = RejectedRow(f"no text: line {number} of {table} is {line!r:.100}")
        else:
            texts[name] = rest[0].strip()
    return texts


def _genders(files: CorpusFiles) -> dict[str, Gender]:
    """Speaker → gender by ``SPEAKERS.TXT`` (``id | sex | subset | minutes | name``, comments from ``;`` on)."""
    top = top_directory(files, "LibriSpeech")
    if not files.exists(f"{top}SPEAKERS.TXT"):
        return {}
    lines = files.text(f"{top}SPEAKERS.TXT", ("utf-8-sig", "latin-1")).split("\n")
    rows = (line.split("|") for line in lines if not line.startswith(";"))
    return {row[0].strip(): _GENDERS.get(row[1].strip(), "") for row in rows if len(row) > 1}
