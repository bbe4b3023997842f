"""Word error rate and its confidence interval."""

import re
from dataclasses import dataclass

import jiwer
import numpy as np
from numpy.typing import NDArray

from opens2s_core.benchmark.report import Interval

Counts = NDArray[np.int64]
"""One number per sentence (n,)."""
_RESAMPLES = 2_000
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'"})


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Words substituted, deleted or inserted, and the number of words in the reference."""

    errors: int
    words: int


def normalise(text: str) -> str:
    """Lower-case words separated by single spaces, without punctuation except apostrophes within words.

    Digits are kept: reference texts should spell out numbers.
    """
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().translate(_APOSTROPHES)))


def count_word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Errors of the best alignment. Raises ``ValueError`` for a reference without words."""
    normalised = normalise(reference)
    if not normalised:
        raise ValueError(f"expected a text with words, got {reference!r}")
    aligned = jiwer.process_words(normalised, normalise(hypothesis))
    errors = aligned.substitutions + aligned.deletions + aligned.insertions
    return WordErrors(errors, aligned.hits + aligned.substitutions + aligned.deletions)


def percent(errors: Counts, words: Counts) -> float:
    return 100 * float(errors.sum() / words.sum())


def bootstrap_percent(errors: Counts, words: Counts, seed: int) -> Interval:
    """95 % interval of :func:`percent` over resampled sentences: (n,) errors, or differences of errors, and words."""
    indices = np.random.default_rng(seed).integers(len(words), size=(_RESAMPLES, len(words)))
    low, high = np.percentile(100 * errors[indices].sum(1) / words[indices].sum(1), [2.5, 97.5])
    return float(low), float(high)
