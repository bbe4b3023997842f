"""MELD: utterances of a television series in English with emotion labels, as video clips."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles, check_splits, top_directory
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.records import AudioReference, Emotion, Reject, RejectedRow, Utterance

LABELS: dict[str, Emotion] = {
    "neutral": "neutral",
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "surprise": "surprised",
    "fear": "fearful",
    "disgust": "disgusted",
}
_PUBLISHED = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_CLIP = re.compile(r"dia\d+_utt\d+\.mp4")  # the release has "._" files of macOS and copies with other names, too
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Meld:
    """Layout, below ``root`` or its directory ``MELD.Raw``::

        train_sent_emo.csv              Utterance, Speaker, Emotion, Dialogue_ID, Utterance_ID, …
        train_splits/dia0_utt0.mp4      also train/train_splits or train
        dev_sent_emo.csv
        dev_splits_complete/dia0_utt0.mp4
        test_sent_emo.csv
        output_repeated_splits_test/dia0_utt0.mp4

    A table may also be inside the directory of its split. Clips are numbered within their split, so ids begin with it.
    """

    name: ClassVar[str] = "meld"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="MELD",
        homepage="https://affective-meld.github.io/",
        licence="GPL-3.0 for the annotations. The clips are excerpts of a television series: licence not stated.",
        consent="Actors of a broadcast television series. Consent to this use: not stated.",
        languages=("en",),
    )
    splits: tuple[str, ...] = ("train", "dev", "test")

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a table of labels."""
        top = top_directory(files, "MELD.Raw")
        check_splits(files, self.splits, [split for split in _PUBLISHED if _table(files, top, split)], list(_PUBLISHED))
        found = [table for split in self.splits if (table := _table(files, top, split))]
        if not found:
            tables = ", ".join(f"{split}_sent_emo.csv" for split in self.splits)
            raise CorpusError(f"{files.root}: expected tables of MELD, one of {tables}")
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        split = part.rpartition("/")[2].removesuffix("_sent_emo.csv")
        directory, there = _clips(files, top_directory(files, "MELD.Raw"), split)
        unlabelled = set(there)
        for number, row in enumerate(_rows(files, part), 2):
            if isinstance(row, RejectedRow):
                yield bad_row(f"{split}:{number}", row)
                continue
            clip = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4".replace(" ", "")
            if _CLIP.fullmatch(clip) is None or row["Emotion"] is None:
                reason = f"bad row: {row!s:.300}, expected numbers of a dialogue and an utterance"
                yield bad_row(f"{split}:{number}", reason)
                continue
            id, label = f"{split}_{clip.removesuffix('.mp4')}", row["Emotion"].strip()
            unlabelled.discard(clip)
            if label.lower() not in LABELS:
                yield bad_row(id, f"unknown emotion: {label!r}, expected one of {', '.join(LABELS)}")
            elif clip not in there:
                yield bad_row(id, f"missing file: {directory}/{clip}")
            else:
                yield Utterance(
                    id=id,
                    corpus=self.name,
                    split=split,
                    language="en",
                    audio=AudioReference(path=f"{directory}/{clip}"),
                    text=repair_text(row["Utterance"] or "").strip(),
                    speaker=repair_text(row["Speaker"] or "").strip(),
                    emotion=LABELS[label.lower()],
                    original_emotion=label,
                )
        for clip in sorted(unlabelled):
            id = f"{split}_{clip.removesuffix('.mp4')}"
            yield bad_row(id, f"no label: {directory}/{clip} has no row in {part}")


def repair_text(text: str) -> str:
    """``text`` where bytes of Windows-1252 or UTF-8 were read as if they were of another encoding.

    The tables hold apostrophes as the control character U+0092 (Windows-1252 read as Latin-1) and as three characters
    (UTF-8 read as Windows-1252). Each run of characters outside ASCII is repaired by itself.
    """
    return _NOT_ASCII.sub(lambda run: _repair(run[0]), text)


def _repair(run: str) -> str:
    try:
        return b"".join(_byte(character) for character in run).decode("utf-8")
    except UnicodeError:
        return "".join(_as_windows_1252(character) for character in run)


def _byte(character: str) -> bytes:
    """Raises ``UnicodeEncodeError`` for a character that neither encoding has."""
    if "\x80" <= character <= "\x9f":
        return character.encode("latin-1")
    return character.encode("cp1252")


def _as_windows_1252(character: str) -> str:
    if "\x80" <= character <= "\x9f":
        return character.encode("latin-1").decode("cp1252", errors="ignore")  # five of them mean nothing there
    return character


def _table(files: CorpusFiles, top: str, split: str) -> str | None:
    name = f"{split}_sent_emo.csv"
    places = (f"{top}{name}", f"{top}{split}/{name}", f"{top}{_PUBLISHED[split]}/{name}")
    return next((place for place in places if files.exists(place)), None)


def _clips(files: CorpusFiles, top: str, split: str) -> tuple[str, frozenset[str]]:
    """The directory of a split and the clips in it. Raises :class:`CorpusError` where there is none."""
    places = (f"{top}{_PUBLISHED[split]}", f"{top}{split}/{_PUBLISHED[split]}", f"{top}{split}")
    for place in places:
        if found := frozenset(name for name in files.names(place) if _CLIP.fullmatch(name)):
            return place, found
    raise CorpusError(f"{files.root}: expected clips dia0_utt0.mp4 in one of {', '.join(places)}")


def _rows(files: CorpusFiles, table: str) -> Iterator[dict[str, str | None] | RejectedRow]:
    lines = io.StringIO(files.text(table, _ENCODINGS), newline="").readlines()
    reader = csv.DictReader(lines)
    try:
        header = reader.fieldnames or ()
    except csv.Error as error:
        raise CorpusError(f"{files.root}/{table}: expected a header: {error}") from error
    if missing := [name for name in _COLUMNS if name not in header]:
        raise CorpusError(f"{files.root}/{table}: columns {missing} are missing; found {header!s:.300}")
    line = reader.line_num  # lines that are read
    while line < len(lines):
        reader = csv.DictReader(lines[line:], fieldnames=header)
        start = line
        try:
            for row in reader:
                end = line + reader.line_num
                if end - start > 1 and "".join(lines[start:end]).count('"') % 2:
                    raise csv.Error("a quote is never closed")
                yield row
                start = end
            return
        except csv.Error as error:
            yield RejectedRow(f"bad row: line {start + 1} of {table}: {error}: {lines[start]!r:.100}")
            line = start + 1  # a quote that is never closed takes what follows, too
