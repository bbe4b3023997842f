"""What every reader of a corpus does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.records import Entry, Reject


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusCard:
    """What a data card says of a corpus."""

    title: str
    homepage: str
    licence: str
    consent: str  # of the speakers, in a sentence
    languages: tuple[str, ...]


class CorpusReader(Protocol):
    """Reads the layout of one corpus as it is distributed; its settings are the fields of a frozen dataclass.

    A reader lists entries without opening their audio, so it is fast and needs no audio library.
    """

    name: ClassVar[str]
    card: ClassVar[CorpusCard]

    def parts(self, files: CorpusFiles) -> Sequence[str]:
        """Names of the parts that can be read apart, in a fixed order: directories, tables, archives.

        Raises :class:`~data_pipeline.corpora.files.CorpusError` where the layout is another one.
        """
        ...

    def read(self, files: CorpusFiles, part: str) -> Iterable[Entry | Reject]:
        """The entries of one part, always in the same order. A bad one is a :class:`Reject` with step ``read``."""
        ...
