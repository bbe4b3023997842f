"""The batch of utterances of each step of a stage, of similar lengths: a pure function of (seed, step)."""

from collections.abc import Sequence

import numpy as np


class Batches:
    """Batches of at most ``positions`` padded positions (rows × longest row); a longer utterance gets its own batch.

    Lengths are rounded up to multiples of ``bucket`` positions; utterances of one bucket are shuffled in every epoch.
    """

    def __init__(self, lengths: Sequence[int], positions: int, *, seed: int, bucket: int = 1) -> None:
        self._lengths = np.array([-(-length // bucket) * bucket for length in lengths], dtype=np.int64)
        self._positions, self._seed = positions, seed
        self._epoch, self._steps = 0, self._plan(0)

    def at(self, step: int) -> tuple[int, ...]:
        """Indices of the utterances of ``step``, from 0."""
        epoch, index = divmod(step, len(self._steps))  # their number is the same in every epoch
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, self._plan(epoch)
        return self._steps[index]

    def _plan(self, epoch: int) -> list[tuple[int, ...]]:
        rng = np.random.default_rng((self._seed, epoch))
        shuffled = rng.permutation(len(self._lengths))
        batches: list[list[int]] = []
        for index in shuffled[np.argsort(self._lengths[shuffled], kind="stable")].tolist():
            if not batches or (len(batches[-1]) + 1) * self._lengths[index] > self._positions:
                batches.append([])
            batches[-1].append(index)
        return [tuple(batches[number]) for number in rng.permutation(len(batches))]
