"""Several data sets as one, each with a weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dataset.layout import DatasetError
from data_pipeline.dataset.samples import ShardedSamples
from opens2s_core.training.batch import EncodedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureSource:
    """A data set at the URL ``data``, or its samples of one ``language``. An epoch has ``weight`` × its samples: with
    2.5 each of them twice, and those of half of its row groups a third time."""

    data: str
    weight: float = 1.0
    language: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight of {self.data}: expected a number above 0, got {self.weight}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    sources: tuple[MixtureSource, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("a mixture without sources: expected at least one")


class MixedSamples:
    """The samples of a mixture; indices follow its sources in order. Raises :class:`DatasetError` for a source that is
    not a finished data set or has no samples of its language."""

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture
        self._samples = [ShardedSamples(source.data) for source in mixture.sources]
        self._chosen = [_chosen(*pair) for pair in zip(self._samples, mixture.sources, strict=True)]
        self._ends = np.cumsum([len(chosen) for chosen in self._chosen])
        self.lengths = self._all([samples.lengths for samples in self._samples])
        self.speech_lengths = self._all([samples.speech_lengths for samples in self._samples])
        self.text_labels = self._all([samples.text_labels for samples in self._samples])
        self.unit_labels = self._all([samples.unit_labels for samples in self._samples])
        groups = [
            np.unique(samples.groups[chosen], return_inverse=True)[1]
            for samples, chosen in zip(self._samples, self._chosen, strict=True)
        ]
        self._groups_of_source = [int(of_source[-1]) + 1 for of_source in groups]
        self._first_groups = np.cumsum([0, *self._groups_of_source])[:-1]
        self.groups: NDArray[np.int64] = np.concatenate(
            [of_source + first for of_source, first in zip(groups, self._first_groups, strict=True)]
        )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> EncodedSample:
        source = int(np.searchsorted(self._ends, index, side="right"))
        chosen = self._chosen[source]
        return self._samples[source][int(chosen[index - self._ends[source]])]  # counted from the source's end

    def epoch_groups(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """The row groups of an epoch: one that is to be read twice is in it twice."""
        return np.concatenate(
            [
                first + _repeated(count, source.weight, epoch, np.random.default_rng((seed, epoch, number)))
                for number, (source, count, first) in enumerate(
                    zip(self._mixture.sources, self._groups_of_source, self._first_groups, strict=True)
                )
            ]
        )

    def _all(self, of_sources: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
        return np.concatenate([values[chosen] for values, chosen in zip(of_sources, self._chosen, strict=True)])


def _chosen(samples: ShardedSamples, source: MixtureSource) -> NDArray[np.int64]:
    """The indices in the data set of the samples that the source takes, (n,)."""
    if source.language is None:
        return np.arange(len(samples))
    languages = samples.index.languages
    if source.language not in languages:
        raise DatasetError(f"{source.data} has no samples in {source.language!r}, only in {sorted(languages)}")
    return np.flatnonzero(samples.index.language == languages.index(source.language))


def _repeated(count: int, weight: float, epoch: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``weight`` × ``count`` row groups. Fractions of a row group are carried over to later epochs."""
    whole, rest = divmod(Fraction(str(weight)), 1)
    partly = math.floor((epoch + 1) * rest * count) - math.floor(epoch * rest * count)
    chosen = np.sort(rng.permutation(count)[:partly])
    return np.concatenate([np.tile(np.arange(count), int(whole)), chosen])
