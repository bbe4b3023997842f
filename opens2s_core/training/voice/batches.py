"""Which utterances make which step of a stage: a pure function of (seed, step), neighbours in length together."""

from collections.abc import Sequence

from opens2s_core.training.plan import Pack, PlanConfig, plan_epoch


class Batches:
    """Batches of at most ``positions`` padded positions (rows × longest row); a longer utterance is alone in its own.

    Lengths are compared in steps of ``bucket`` positions: within one the order, and so the company, changes from epoch
    to epoch.
    """

    def __init__(self, lengths: Sequence[int], positions: int, *, seed: int, bucket: int = 1) -> None:
        self._lengths = [-(-length // bucket) * bucket for length in lengths]
        self._plan = PlanConfig(packs_per_step=1, pack_positions=positions, seed=seed)
        self._epoch, self._packs = 0, self._packs_of(0)

    def at(self, step: int) -> Pack:
        """Indices of the utterances of ``step``, from 0."""
        epoch, place = divmod(step, len(self._packs))  # every epoch has as many: packs follow from sorted lengths
        if epoch != self._epoch:
            self._epoch, self._packs = epoch, self._packs_of(epoch)
        return self._packs[place]

    def _packs_of(self, epoch: int) -> list[Pack]:
        return [packs[0] for packs in plan_epoch(self._lengths, self._plan, epoch)]
