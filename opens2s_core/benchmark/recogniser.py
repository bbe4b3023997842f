"""Independent speech recognisers that measure intelligibility: nothing here is trained on them.

No torch is imported here: the recogniser's processes import this module.
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
    """CMU PocketSphinx with the general English model that its package carries.

    Audio that resembles nothing keeps all hypotheses alive and takes many times its duration. At most 5,000 states
    are followed in a frame (the default is 30,000): on clear speech the same words, on noise a quarter of the time, and
    unlike a clock it cuts the same on every machine.
    """

    name = "pocketsphinx, en-us"

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        # Processes, since the library keeps Python's lock; spawned, since forking with torch's threads may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._processes, mp_context=context, initializer=_load) as pool:
            words = pool.map(_words, (_pcm16(waveform) for waveform in waveforms))
            return list(tqdm(words, desc="listening", total=len(waveforms), unit="sentence"))


def _pcm16(waveform: NDArray[np.float32]) -> bytes:
    return np.rint(np.clip(waveform, -1.0, 1.0) * 32767).astype("<i2").tobytes()


_decoder: "Decoder"
"""Of this process: it takes a third of a second to load."""


def _load() -> None:
    from pocketsphinx import Decoder

    global _decoder
    # Normalised by the whole utterance's mean and not by a running one, which would come from other utterances.
    _decoder = Decoder(loglevel="FATAL", samprate=RATE, cmn="batch", maxhmmpf=_STATES_PER_FRAME)


def _words(pcm16: bytes) -> str:
    _decoder.start_utt()
    _decoder.process_raw(pcm16, full_utt=True)
    _decoder.end_utt()
    hypothesis = _decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""
