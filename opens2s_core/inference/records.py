"""Resume records: what another engine needs to continue a reply that is under way. Plain data.

Emitted tokens are taken from the record, never chosen again. Randomness needs no state: random numbers are a function
of the seed and the position in the reply (``noise``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TextRecord:
    """Of the thinker, which is opened with the same request again.

    ``ids``: all tokens so far, the end token included. ``groups`` of hidden states and ``characters`` of text were
    emitted; with smaller numbers they are emitted again from there (a new speech decoder needs all).
    """

    ids: tuple[int, ...]
    groups: int
    characters: int


@dataclass(frozen=True, slots=True)
class UnitsRecord:
    """Of the speech decoder, which is fed all hidden states again, from the first.

    ``ids`` of its vocabulary so far, the end units of all rounds included. ``units`` were emitted; with a smaller
    number they are emitted again from there.
    """

    ids: tuple[int, ...]
    units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioRecord:
    """Of token2wav, which is fed the units after the first ``received``.

    Counts are from the reply's start, frames are of mel. Arrays hold the last values so far, as many as the
    rest of the reply depends on.
    """

    received: int  # units
    rendered: int  # units whose mel is made
    sourced: int  # frames whose source is made
    emitted: int  # frames whose samples are made
    resampled: int  # samples made by the resampler; 0 where there is none
    cycles: float  # phase of the fundamental where the source ends, in [0, 1)
    units: NDArray[np.int64]  # of those received
    mel: NDArray[np.float32]  # (mel, frames) of those rendered
    source: NDArray[np.float32]  # (samples,) of those sourced
    tail: NDArray[np.float32]  # (samples,) of those emitted, at token2wav's rate: the resampler's


Record = TextRecord | UnitsRecord | AudioRecord
