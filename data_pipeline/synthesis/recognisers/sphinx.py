"""CMU PocketSphinx, where no better recogniser is installed."""

import threading
from importlib.metadata import version

import numpy as np

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import SAMPLE_RATE, resample

_STATES_PER_FRAME = 5_000
"""As in :class:`opens2s_core.benchmark.recogniser.PocketSphinx`: enough for clear speech, and bounded on noise."""


class SphinxRecogniser:
    """The English model of the package. One decoder, so that threads wait for each other.

    Raises ``ImportError`` without pocketsphinx.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise ImportError("PocketSphinx needs pocketsphinx (pip install 'opens2s-on-ray[quality]')") from error
        self.name = f"pocketsphinx {version('pocketsphinx')}, en-us"
        # Normalised by the mean of the utterance: a running mean would depend on other utterances.
        self._decoder = Decoder(loglevel="FATAL", samprate=SAMPLE_RATE, cmn="batch", maxhmmpf=_STATES_PER_FRAME)
        self._lock = threading.Lock()

    def transcribe(self, speech: Speech, language: str) -> str:
        """Raises :class:`RejectedRow` (``unsupported language``) for another language than English."""
        if language != "en":
            raise RejectedRow(f"unsupported language: {language!r}, {self.name} expected en")
        if not len(speech.samples):
            return ""
        samples = resample(speech.samples, speech.rate, SAMPLE_RATE)
        pcm16 = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        with self._lock:
            self._decoder.start_utt()
            self._decoder.process_raw(pcm16, full_utt=True)
            self._decoder.end_utt()
            hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""
