"""Emilia and Emilia-YODAS: speech in the wild in six languages, MP3, with a quality score."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from data_pipeline.corpora.fields import number_field, required_text, text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import json_rows, parse_object
from data_pipeline.records import AudioReference, Reject, RejectedRow, Utterance

_LANGUAGES = ("de", "en", "fr", "ja", "ko", "zh")
_BATCH = re.compile(r"[A-Z]{2}[-_]B\d+")  # a directory of clips: listing all of them takes hours
_READ = 1 << 20  # bytes
_MAX_JSON = 1 << 20  # bytes; real ones have a few hundred


@dataclass(frozen=True, kw_only=True, slots=True)
class Emilia:
    """Layout, where ``root`` is the directory of a language, or up to three levels above it::

        EN/EN-B000000.tar       pairs {key}.mp3 and {key}.json: id, text, duration, speaker, language, dnsmos

    or tables with paths that are relative to their directory::

        EN/EN_B00000.jsonl      the same keys, and wav
        EN/EN_B00000/…/{id}.mp3

    Nothing is unpacked: an entry of an archive names the bytes of its member.
    """

    name: ClassVar[str] = "emilia"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Emilia",
        homepage="https://huggingface.co/datasets/amphion/Emilia-Dataset",
        licence="CC BY-NC 4.0; Emilia-YODAS: CC BY 4.0. The copyright of the audio remains with its owners.",
        consent="Not stated. The audio was collected from video platforms and podcasts.",
        languages=_LANGUAGES,
    )
    languages: tuple[str, ...] = ("en", "zh")

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part an archive or table."""
        found = self._tables(files, "", depth=3)
        if not found:
            raise CorpusError(f"{files.root}: expected *.tar or *.jsonl of Emilia in {', '.join(self.languages)}")
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        clips = _archive(files, part) if part.endswith(".tar") else _table(files, part)
        for key, row, audio in clips:
            row_id = key
            try:
                if isinstance(row, RejectedRow):
                    raise row
                row_id = text_field(row, "_id") or text_field(row, "id") or key
                language = required_text(row, "language", "language").lower()
                if language not in self.languages:
                    raise RejectedRow(f"other language: {language!r}, expected {' or '.join(self.languages)}")
                if isinstance(audio, RejectedRow):
                    raise audio
                yield Utterance(
                    id=row_id,
                    corpus=self.name,
                    split="train",
                    language=language,
                    audio=audio,
                    text=required_text(row, "text", "text"),
                    duration=number_field(row, "duration"),
                    speaker=text_field(row, "speaker"),
                    dnsmos=number_field(row, "dnsmos"),
                )
            except RejectedRow as error:
                yield bad_row(row_id, error)

    def _tables(self, files: CorpusFiles, directory: str, depth: int) -> list[str]:
        found: list[str] = []
        for name in files.names(directory):
            path = f"{directory}/{name}".lstrip("/")
            if name.endswith((".tar", ".jsonl")):
                found.append(path)
            elif depth and not self._skips(name):
                found.extend(self._tables(files, path, depth - 1))
        return found

    def _skips(self, name: str) -> bool:
        if name.endswith((".mp3", ".json")) or _BATCH.fullmatch(name):
            return True
        return name.lower() in _LANGUAGES and name.lower() not in self.languages


_Clip = tuple[str, dict[str, Any] | RejectedRow, AudioReference | RejectedRow]
"""The key of a clip, its metadata, its audio."""


def _table(files: CorpusFiles, part: str) -> Iterator[_Clip]:
    listing = Listing(files)
    directory = part.rpartition("/")[0]
    for number, row in json_rows(files, part):
        key = f"{part}:{number}"
        if isinstance(row, RejectedRow):
            yield key, row, row
            continue
        try:
            name = required_text(row, "wav", "audio")
            key = name.rpartition("/")[2].removesuffix(".mp3")
            yield key, row, AudioReference(path=listing.find(name, directory))
        except RejectedRow as error:
            yield key, row, error


def _archive(files: CorpusFiles, part: str) -> Iterator[_Clip]:
    """The pairs of members, each when its second one is reached, then those that lack one, then damage."""
    rows: dict[str, dict[str, Any] | RejectedRow] = {}
    audios: dict[str, AudioReference] = {}
    done: set[str] = set()
    with files.open(part) as file:
        for member in _members(file):
            if isinstance(member, RejectedRow):
                yield part, member, member
                continue
            key, _, kind = member.name.rpartition(".")
            if not member.isreg() or member.issparse() or kind not in ("mp3", "json"):
                continue
            if key in done or key in (audios if kind == "mp3" else rows):
                error = RejectedRow(f"duplicate id: {member.name} is already in {part}")
                yield member.name, error, error
                continue
            if kind == "mp3":
                audios[key] = AudioReference(path=part, offset=member.offset_data, size=member.size)
            else:
                rows[key] = _metadata(file, member)
            if key in audios and key in rows:
                done.add(key)
                yield key.rpartition("/")[2], rows.pop(key), audios.pop(key)
    for key, row in rows.items():
        yield key, row, RejectedRow(f"missing file: {part} has {key}.json, expected {key}.mp3 too")
    for key, audio in audios.items():
        yield key, RejectedRow(f"no metadata: {part} has {key}.mp3, expected {key}.json too"), audio


def _metadata(file: BinaryIO, member: tarfile.TarInfo) -> dict[str, Any] | RejectedRow:
    if member.size > _MAX_JSON:
        return RejectedRow(f"bad row: {member.name} has {member.size} bytes, expected at most {_MAX_JSON}")
    file.seek(member.offset_data)
    try:
        return parse_object(file.read(member.size))
    except RejectedRow as error:
        return error


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo | RejectedRow]:
    """The members that are there whole. What lies between two of them, and a missing end, is reported as damage."""
    size = file.seek(0, 2)
    file.seek(0)
    end = 0  # of the last member
    try:
        # Without ``ignore_zeros``, a damaged header ends the archive as if all of it was read.
        with tarfile.open(fileobj=file, mode="r:", ignore_zeros=True, encoding="utf-8", errors="replace") as archive:
            for member in archive:
                if member.size < 0:  # the next member would be an earlier one, without end
                    yield RejectedRow(f"bad archive: {member.name} has {member.size} bytes")
                    return
                if _has_data(file, end, member.offset):
                    yield RejectedRow(f"bad archive: bytes {end} to {member.offset} are no members")
                stop = member.offset_data + (member.size if member.isreg() else 0)
                if stop > size:
                    yield RejectedRow(f"bad archive: {member.name} ends at byte {stop}, the file at {size}")
                    return
                end = -(-stop // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                yield member
    except (tarfile.TarError, ValueError, OverflowError) as error:
        yield RejectedRow(f"bad archive: {error} after byte {end} of {size}")
        return
    if size - end < tarfile.BLOCKSIZE:
        yield RejectedRow(f"bad archive: no end mark after byte {end} of {size}")
    elif _has_data(file, end, size):
        yield RejectedRow(f"bad archive: bytes {end} to {size} are no members")


def _has_data(file: BinaryIO, start: int, stop: int) -> bool:
    file.seek(start)
    return any(file.read(min(_READ, stop - at)).strip(b"\0") for at in range(start, stop, _READ))
