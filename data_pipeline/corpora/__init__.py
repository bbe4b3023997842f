"""Readers of corpora as they are distributed, one module each."""

from data_pipeline.corpora.common_voice import CommonVoice
from data_pipeline.corpora.emilia import Emilia
from data_pipeline.corpora.esd import Esd
from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.gigaspeech import GigaSpeech
from data_pipeline.corpora.iemocap import Iemocap
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.corpora.instructs2s import InstructS2S
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.corpora.mead import Mead
from data_pipeline.corpora.meld import Meld
from data_pipeline.corpora.mosei import Mosei
from data_pipeline.corpora.reader import CorpusCard, CorpusReader
from data_pipeline.corpora.speech import Speech
from data_pipeline.corpora.voice_assistant import VoiceAssistant
from data_pipeline.corpora.wenetspeech import WenetSpeech

_READERS: tuple[type[CorpusReader], ...] = (
    CommonVoice,
    Emilia,
    Esd,
    GigaSpeech,
    Iemocap,
    InstructS2S,
    Instructions,
    LibriSpeech,
    Manifest,
    Mead,
    Meld,
    Mosei,
    Speech,
    VoiceAssistant,
    WenetSpeech,
)

CORPORA: dict[str, type[CorpusReader]] = {reader.name: reader for reader in _READERS}
"""Reader of each corpus by its name on the command line."""

__all__ = ["CORPORA", "CorpusCard", "CorpusError", "CorpusFiles", "CorpusReader"]
