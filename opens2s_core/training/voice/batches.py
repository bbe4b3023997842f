"""Which utterances make which step of a stage: a pure function of (seed, step), neighbours in length together."""

from collections.abc import Sequence

from opens2s_core.training.plan import MicroBatch, PlanConfig, plan_epoch


class Batches:
    """Batches of at most ``positions`` padded positions (rows × longest row); a longer utterance is alone in its own.

    Lengths are compared in steps of ``bucket`` positions: within one the order, and so the company, changes from epoch
    to epoch.
    """

    def __init__(self, lengths: Sequence[int], positions: int, *, seed: int, bucket: int = 1) -> None:
        self._lengths = [-(-length // bucket) * bucket for length in lengths]
        self._plan = PlanConfig(micro_batches_per_step=1, micro_batch_positions=positions, seed=seed)
        self._epoch, self._steps = 0, plan_epoch(self._lengths, self._plan, 0)

    def at(self, step: int) -> MicroBatch:
        """Indices of the utterances of ``step``, from 0."""
        # Every epoch has as many: micro-batches follow from sorted lengths.
        epoch, step_of_epoch = divmod(step, len(self._steps))
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, plan_epoch(self._lengths, self._plan, epoch)
        (micro_batch,) = self._steps[step_of_epoch]
        return micro_batch
