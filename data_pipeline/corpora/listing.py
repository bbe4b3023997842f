"""Which files of a corpus are there, with one listing a directory instead of one request a file."""

import posixpath
from functools import lru_cache

from data_pipeline.corpora.files import CorpusFiles, path_below_root
from data_pipeline.records import RejectedRow


class Listing:
    """Looks paths up in the listings of their directories; the last 64 listings are kept."""

    def __init__(self, files: CorpusFiles) -> None:
        self._names = lru_cache(maxsize=64)(lambda directory: frozenset(files.names(directory)))

    def find(self, name: str, directory: str = "") -> str:
        """The path of a file that a table names, relative to the root of the corpus.

        ``name`` is relative to ``directory`` and cannot leave it. Raises :class:`RejectedRow` where it leads out or
        is not there.
        """
        try:
            path = posixpath.join(directory, path_below_root(name))
        except ValueError as error:
            raise RejectedRow(f"path outside the corpus: {error}") from None
        if posixpath.basename(path) not in self._names(posixpath.dirname(path)):
            raise RejectedRow(f"missing file: {path}")
        return path
