"""Samples that are held out of training for validation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opens2s_core.config import ConfigError
from opens2s_core.training.batch import EncodedSample
from opens2s_core.training.loader import GroupedSamples, Samples

_PLACES = 64
"""From about so many the samples are held out."""


class Subset:
    """Some samples by index; the ``chosen`` indices are into ``samples``."""

    def __init__(self, samples: Samples, chosen: NDArray[np.int64]) -> None:
        self._samples, self._chosen = samples, chosen
        self.lengths = np.asarray(samples.lengths)[chosen]
        self.speech_lengths = np.asarray(samples.speech_lengths)[chosen]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> EncodedSample:
        return self._samples[int(self._chosen[index])]


class GroupedSubset(Subset):
    """Row groups of which no sample is chosen are left out, and the others keep their order."""

    def __init__(self, samples: GroupedSamples, chosen: NDArray[np.int64]) -> None:
        super().__init__(samples, chosen)
        self._grouped = samples
        self._kept, self.groups = np.unique(samples.groups[chosen], return_inverse=True)

    def epoch_groups(self, epoch: int, seed: int) -> NDArray[np.int64]:
        of_epoch = self._grouped.epoch_groups(epoch, seed)
        of_epoch = of_epoch[np.isin(of_epoch, self._kept)]
        return np.searchsorted(self._kept, of_epoch).astype(np.int64)


def subset(samples: Samples, chosen: Sequence[int] | NDArray[np.int64]) -> Subset:
    indices = np.asarray(chosen, dtype=np.int64)
    return GroupedSubset(samples, indices) if isinstance(samples, GroupedSamples) else Subset(samples, indices)


def hold_out(samples: Samples, count: int, seed: int) -> tuple[Samples, Samples | None]:
    """All but ``count`` samples, and these; which they are depends on the samples' row groups and the seed alone.

    Neighbours in a row group are held out together, two to eight from each of many random places: few row groups are
    read for them, and a spoken conversation and its written copy, which follows it, are not on both sides. Raises
    :class:`ConfigError` if no other samples would be left.
    """
    total = len(np.asarray(samples.lengths))
    if count == 0:
        return samples, None
    if not 0 < count < total:
        raise ConfigError(f"held_out: expected fewer than the {total} samples of the data, got {count}")
    groups = samples.groups if isinstance(samples, GroupedSamples) else np.zeros(total, np.int64)
    neighbours = _neighbours(groups, min(max(count // _PLACES, 2), 8))
    order = np.random.default_rng((seed, total)).permutation(neighbours[-1] + 1)
    shuffled = np.argsort(order[neighbours], kind="stable")
    return subset(samples, np.sort(shuffled[count:])), subset(samples, np.sort(shuffled[:count]))


def _neighbours(groups: NDArray[np.int64], together: int) -> NDArray[np.int64]:
    """The numbers (n,) of runs of up to ``together`` samples within each of ``groups`` (n,)."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1])
    of_group = np.arange(len(groups)) - np.repeat(starts, np.diff([*starts, len(groups)]))
    return np.cumsum(of_group % together == 0) - 1
