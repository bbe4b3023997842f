"""What is checked of the parts and entries of every reader."""

from collections.abc import Iterator

from data_pipeline.corpora.fields import UNDECODED, is_encodable
from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.reader import CorpusReader
from data_pipeline.corpora.rows import bad_row
from data_pipeline.records import AudioReference, Entry, Reject, Utterance


def checked_parts(reader: CorpusReader, files: CorpusFiles) -> list[str]:
    """The parts of a corpus. Raises :class:`CorpusError`, also for a name that is not UTF-8."""
    parts = list(reader.parts(files))
    for part in parts:
        if not is_encodable(part):
            raise CorpusError(f"{files.root}: the name {part!r} is not UTF-8: rename the file or directory")
    return parts


def checked_entries(reader: CorpusReader, files: CorpusFiles, part: str) -> Iterator[Entry | Reject]:
    """The entries of a part. One with a text or a name that is not whole Unicode text is rejected as ``bad encoding``.

    Ids and reasons of rejected rows can be written as UTF-8: :func:`bad_row` escapes what cannot.
    """
    for entry in reader.read(files, part):
        fault = None if isinstance(entry, Reject) else _fault(entry)
        yield entry if fault is None else bad_row(entry.id, fault)


def _fault(entry: Entry) -> str | None:
    for name, text in _texts(entry):
        if UNDECODED.search(text):
            return f"bad encoding: {name} is {text!r:.100}, expected Unicode text"
    return None


def _texts(entry: Entry) -> Iterator[tuple[str, str]]:
    yield from (("id", entry.id), ("split", entry.split), ("language", entry.language))
    if isinstance(entry, Utterance):
        yield from (("text", entry.text), ("speaker", entry.speaker), ("label", entry.original_emotion))
        yield from _names(entry.audio)
        return
    for message in entry.messages:
        yield "label", message.original_emotion
        for content in message.content:
            yield "text", content.text
            if content.audio:
                yield from _names(content.audio)


def _names(audio: AudioReference) -> Iterator[tuple[str, str]]:
    yield from (("path", audio.path), ("member", audio.member or ""), ("column", audio.column or ""))
