"""Corpora of long recordings with one JSON file of their segments: GigaSpeech and WenetSpeech."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import ijson

from data_pipeline.corpora.fields import number_field, required_number, required_text
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.rows import bad_row
from data_pipeline.records import AudioReference, Reject, RejectedRow, Utterance

_READ = 1 << 16  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A segment of the subset asked for, with its row in the table and the row of its recording."""

    id: str
    audio: AudioReference
    duration: float  # seconds
    row: dict[str, Any]
    recording: dict[str, Any]


def check_subset(subset: str, known: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for a subset that the corpus does not have, which would read as an empty one."""
    if subset not in known:
        raise ValueError(f"subset is {subset!r}, expected one of {', '.join(known)}")


def find_table(files: CorpusFiles, corpus: str) -> str:
    """The path of ``{corpus}.json`` in the root or in its directory ``{corpus}``. Raises :class:`CorpusError`."""
    for table in (f"{corpus}.json", f"{corpus}/{corpus}.json"):
        if files.exists(table):
            return table
    raise CorpusError(f"{files.root}: expected {corpus}.json, in it or in its directory {corpus}")


def read_segments(
    files: CorpusFiles, table: str, subset: str, utterance: Callable[[Segment], Utterance]
) -> Iterator[Utterance | Reject]:
    """The segments of ``subset``, in the order of the table. ``utterance`` may raise :class:`RejectedRow`.

    One recording is in memory at a time: the tables of these corpora take up to 10 GB.
    """
    listing = Listing(files)
    directory = table.rpartition("/")[0]
    recordings: set[str] = set()
    for position, recording in _recordings(files, table):
        recording_id = f"{table}:{position}"
        try:
            if isinstance(recording, RejectedRow):
                raise recording
            recording_id = required_text(recording, "aid", "id")
            if recording_id in recordings:
                raise RejectedRow(f"duplicate id: recording {recording_id} is already in {table}")
            recordings.add(recording_id)
            segments = recording.get("segments")
            if not isinstance(segments, list):
                raise RejectedRow(f"bad row: segments is {segments!r:.100}, expected a list")
        except RejectedRow as error:
            yield bad_row(recording_id, error)
            continue
        path = _path(listing, directory, recording)
        ids: set[str] = set()
        for count, row in enumerate(segments):
            segment_id = f"{recording_id}:{count}"
            try:
                if not _in_subset(row, subset):
                    continue
                segment_id = required_text(row, "sid", "id")
                if not segment_id.startswith(recording_id):
                    segment_id = f"{recording_id}_{segment_id}"
                if segment_id in ids:
                    raise RejectedRow(f"duplicate id: segment {segment_id} is already in its recording")
                ids.add(segment_id)
                if isinstance(path, RejectedRow):
                    raise path
                yield utterance(_segment(segment_id, path, row, recording))
            except RejectedRow as error:
                yield bad_row(segment_id, error)


def _recordings(files: CorpusFiles, table: str) -> Iterator[tuple[int, dict[str, Any] | RejectedRow]]:
    """The recordings up to the first error of syntax, by their position."""
    position = -1
    with files.open(table) as file:
        # A byte that is not UTF-8 must not end the table: it is replaced, and the text that has it is rejected.
        text = codecs.iterdecode(iter(partial(file.read, _READ), b""), "utf-8-sig", errors="replace")
        data = ijson.from_iter(codecs.iterencode(text, "utf-8"))
        try:
            for position, recording in enumerate(ijson.items(data, "audios.item", use_float=True)):
                if isinstance(recording, dict):
                    yield position, recording
                else:
                    yield position, RejectedRow(f"bad row: the recording is {recording!r:.100}, expected an object")
        except ijson.JSONError as error:
            message = " ".join(str(error).split())
            yield position + 1, RejectedRow(f"bad table: {table} after {position + 1} recordings: {message:.200}")
            return
    if position < 0:
        yield 0, RejectedRow(f"bad table: {table} has no recordings, expected a list audios")


def _path(listing: Listing, directory: str, recording: dict[str, Any]) -> str | RejectedRow:
    try:
        return listing.find(required_text(recording, "path", "audio"), directory)
    except RejectedRow as error:
        return error


def _in_subset(row: Any, subset: str) -> bool:
    if not isinstance(row, dict):
        raise RejectedRow(f"bad row: the segment is {row!r:.100}, expected an object")
    subsets = row.get("subsets")
    if not isinstance(subsets, list):
        raise RejectedRow(f"bad row: subsets is {subsets!r:.100}, expected a list")
    return subset in subsets


def _segment(segment_id: str, path: str, row: dict[str, Any], recording: dict[str, Any]) -> Segment:
    begin, end = (required_number(row, name, "times") for name in ("begin_time", "end_time"))
    total = number_field(recording, "duration")
    if not 0 <= begin < end or (total is not None and begin >= total):
        raise RejectedRow(f"bad times: {begin} to {end} s of {total} s, expected a segment of the recording")
    length = round(end - begin, 6)
    return Segment(
        id=segment_id,
        audio=AudioReference(path=path, start=begin, length=length),
        duration=length,
        row=row,
        recording=recording,
    )
