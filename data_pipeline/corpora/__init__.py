"""Readers of corpora as they are distributed, one module each."""

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.corpora.reader import CorpusCard, CorpusReader

CORPORA: dict[str, type[CorpusReader]] = {reader.name: reader for reader in (LibriSpeech,)}
"""Reader of each corpus by its name on the command line."""

__all__ = ["CORPORA", "CorpusCard", "CorpusError", "CorpusFiles", "CorpusReader"]
