"""Samples that are held out of training for validation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opens2s_core.config import ConfigError
from opens2s_core.training.batch import EncodedSample
from opens2s_core.training.loader import GroupedSamples, Samples


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
    """All but ``count`` random samples, and these; which they are depends on the number of samples and the seed alone.

    Raises :class:`ConfigError` if none would be left.
    """
    total = len(np.asarray(samples.lengths))
    if count == 0:
        return samples, None
    if not 0 < count < total:
        raise ConfigError(f"held_out: expected fewer than the {total} samples of the data, got {count}")
    shuffled = np.random.default_rng((seed, total)).permutation(total)
    return subset(samples, np.sort(shuffled[count:])), subset(samples, np.sort(shuffled[:count]))
