"""CMU PocketSphinx, where no better recogniser is installed."""

import threading
from importlib.metadata import version

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import resample
from opens2s_core.benchmark.recogniser import RATE, decode, open_decoder


class SphinxRecogniser:
    """The English model of the package. One decoder, so that threads wait for each other.

    Raises ``ImportError`` without pocketsphinx.
    """

    def __init__(self) -> None:
        try:
            self._decoder = open_decoder()
        except ImportError as error:
            raise ImportError("PocketSphinx needs pocketsphinx (pip install 'opens2s-on-ray[quality]')") from error
        self.name = f"pocketsphinx {version('pocketsphinx')}, en-us"
        self._lock = threading.Lock()

    def transcribe(self, speech: Speech, language: str) -> str:
        """Raises :class:`RejectedRow` (``unsupported language``) for another language than English."""
        if language != "en":
            raise RejectedRow(f"unsupported language: {language!r}, {self.name} expected en")
        if not len(speech.samples):
            return ""
        samples = resample(speech.samples, speech.rate, RATE)
        with self._lock:
            return decode(self._decoder, samples)
