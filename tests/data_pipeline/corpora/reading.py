"""What the tests of readers share."""

from pathlib import Path

from data_pipeline.corpora import CorpusFiles, CorpusReader
from data_pipeline.corpora.checks import checked_entries, checked_parts
from data_pipeline.records import Conversation, Reject, Utterance


def write(path: Path, content: str | bytes = b"") -> Path:
    """A file with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_all(reader: CorpusReader, root: Path) -> list[Utterance | Conversation | Reject]:
    """The entries of every part, in order."""
    files = CorpusFiles(str(root))
    return [entry for part in checked_parts(reader, files) for entry in checked_entries(reader, files, part)]


def read_utterances(reader: CorpusReader, root: Path) -> tuple[list[Utterance], dict[str, str]]:
    """The utterances, and the reasons of the rejected rows by id."""
    entries = [entry for entry in read_all(reader, root) if isinstance(entry, Utterance)]
    assert len({entry.id for entry in entries}) == len(entries), "two utterances share an id"
    return entries, rejects(reader, root)


def utterances(reader: CorpusReader, root: Path) -> dict[str, Utterance]:
    return {entry.id: entry for entry in read_utterances(reader, root)[0]}


def conversations(reader: CorpusReader, root: Path) -> dict[str, Conversation]:
    return {entry.id: entry for entry in read_all(reader, root) if isinstance(entry, Conversation)}


def rejects(reader: CorpusReader, root: Path) -> dict[str, str]:
    """Id → reason."""
    found = [entry for entry in read_all(reader, root) if isinstance(entry, Reject)]
    assert all(reject.step == "read" and ": " in reject.reason for reject in found)
    assert len({reject.id for reject in found}) == len(found), "two rejects share an id"
    return {reject.id: reject.reason for reject in found}
