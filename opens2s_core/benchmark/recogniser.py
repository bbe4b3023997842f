"""Speech recognisers that measure intelligibility; no model here is trained with them.

This module does not import torch, because the processes of the recogniser import it.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE = 16_000
"""Hz, of a recogniser's input."""
_STATES_PER_FRAME = 5_000


class Recogniser(Protocol):
    name: str

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        """The words of each waveform (n,) at 16 kHz, empty where none were recognised.

        Each is recognised independently of the others.
        """
        ...


class PocketSphinx:
    """CMU PocketSphinx with the English model of its package.

    At most 5,000 states are kept per frame (the default is 30,000): the result is the same on clear speech, and noise,
    which keeps many hypotheses alive, takes a quarter of the time. Unlike a time limit it is deterministic.
    """

    name = "pocketsphinx, en-us"

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        # Processes, because the library holds the GIL; spawned, because forking with torch's threads may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._processes, mp_context=context, initializer=_load) as pool:
            words = pool.map(_decode, waveforms)
            return list(tqdm(words, desc="recognising", total=len(waveforms), unit="sentence"))


def open_decoder() -> "Decoder":
    """The decoder of :class:`PocketSphinx`. ImportError where pocketsphinx is not installed."""
    from pocketsphinx import Decoder

    # Normalised by the mean of the utterance: a running mean would depend on other utterances.
    return Decoder(loglevel="FATAL", samprate=RATE, cmn="batch", maxhmmpf=_STATES_PER_FRAME)


def decode(decoder: "Decoder", waveform: NDArray[np.float32]) -> str:
    """The words of a waveform (n,) at 16 kHz, empty where none are recognised."""
    decoder.start_utt()
    decoder.process_raw(np.rint(np.clip(waveform, -1.0, 1.0) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


_decoder: "Decoder"
"""One per process, as loading takes a third of a second."""


def _load() -> None:
    global _decoder
    _decoder = open_decoder()


def _decode(waveform: NDArray[np.float32]) -> str:
    return decode(_decoder, waveform)
