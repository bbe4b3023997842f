"""Resume records: the state that another engine needs to continue a reply. Plain data.

Emitted tokens are taken from the record, not sampled again. Random numbers need no state: they are a function of the
seed and the position in the reply (``noise``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TextRecord:
    """Resume record of the thinker, which is opened with the same request again.

    ``ids`` are all tokens so far, including the end token. ``groups`` and ``characters`` count the emitted groups of
    hidden states and characters of text; output after these counts is emitted (a new speech decoder needs all groups).
    """

    ids: tuple[int, ...]
    groups: int
    characters: int


@dataclass(frozen=True, slots=True)
class UnitsRecord:
    """Resume record of the speech decoder, which reads all hidden states again, from the first.

    ``ids`` are the tokens of its vocabulary so far, including the end units of all rounds. ``units`` counts the emitted
    units; units after this count are emitted.
    """

    ids: tuple[int, ...]
    units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioRecord:
    """Resume record of token2wav, which continues with the units after the first ``received``.

    Counts are from the start of the reply, frames are mel frames. Arrays hold the latest values, as many as the rest of
    the reply depends on.
    """

    received: int  # units
    rendered: int  # units whose mel is computed
    source_frames: int  # frames whose source is computed
    emitted: int  # frames whose samples are computed
    resampled: int  # samples produced by the resampler; 0 without one
    phase: float  # of the fundamental at the end of the source, in [0, 1)
    units: NDArray[np.int64]  # the latest of those received
    mel: NDArray[np.float32]  # (mel, frames), the latest of those rendered
    source: NDArray[np.float32]  # (samples,), the latest of ``source_frames``
    tail: NDArray[np.float32]  # (samples,) input history of the resampler, at token2wav's rate


Record = TextRecord | UnitsRecord | AudioRecord
