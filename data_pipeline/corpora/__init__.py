"""Readers of corpora as they are distributed, one module each."""

from data_pipeline.corpora.common_voice import CommonVoice
from data_pipeline.corpora.emilia import Emilia
from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.gigaspeech import GigaSpeech
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.corpora.reader import CorpusCard, CorpusReader
from data_pipeline.corpora.wenetspeech import WenetSpeech

CORPORA: dict[str, type[CorpusReader]] = {
    reader.name: reader
    for reader in (
        LibriSpeech,
        CommonVoice,
        GigaSpeech,
        WenetSpeech,
        Emilia,
        Manifest,
    )
}
"""Reader of each corpus by its name on the command line."""

__all__ = ["CORPORA", "CorpusCard", "CorpusError", "CorpusFiles", "CorpusReader"]
