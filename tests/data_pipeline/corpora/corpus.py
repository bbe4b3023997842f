"""Helpers of the tests of readers."""

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.corpora.reader import CorpusReader
from data_pipeline.records import Reject, Utterance


def read_all(reader: CorpusReader, root: object) -> tuple[list[Utterance], dict[str, str]]:
    """The utterances of every part, and the reasons of the rejected rows by id. Ids are checked to be unique."""
    files = CorpusFiles(str(root))
    entries = [entry for part in reader.parts(files) for entry in reader.read(files, part)]
    utterances = [entry for entry in entries if isinstance(entry, Utterance)]
    rejects = [entry for entry in entries if isinstance(entry, Reject)]
    assert len({utterance.id for utterance in utterances}) == len(utterances)
    assert all(reject.step == "read" and ": " in reject.reason for reject in rejects)
    return utterances, {reject.id: reject.reason for reject in rejects}
