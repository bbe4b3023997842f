"""DNSMOS: the quality of speech as listeners would rate it, by a neural network (Reddy et al., 2021 and 2022)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import SAMPLE_RATE, resample


@dataclass(frozen=True, kw_only=True, slots=True)
class DnsmosScores:
    """Mean opinion scores from 1 to 5. ``overall`` is that of ITU-T P.835, ``p808`` that of P.808."""

    overall: float
    p808: float


class Dnsmos:
    """The networks of the package ``speechmos``. Raises ``ImportError`` without it."""

    def __init__(self) -> None:
        try:
            from speechmos import dnsmos
        except ImportError as error:
            raise ImportError("DNSMOS needs speechmos (pip install 'opens2s-on-ray[quality]')") from error
        self._run = dnsmos.run

    def measure(self, speech: Speech) -> DnsmosScores:
        """A clip shorter than 9.01 s is repeated to this length, of a longer one windows are averaged.

        Raises ``ValueError`` for a clip without samples.
        """
        if not len(speech.samples):
            raise ValueError("expected a clip with samples, got none")
        samples = resample(speech.samples, speech.rate, SAMPLE_RATE)
        scores: Mapping[str, float] = self._run(np.clip(samples, -1.0, 1.0), SAMPLE_RATE)
        return DnsmosScores(overall=float(scores["ovrl_mos"]), p808=float(scores["p808_mos"]))
