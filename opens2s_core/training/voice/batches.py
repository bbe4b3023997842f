"""The batch of utterances of each step of a stage, of similar lengths: a pure function of (seed, step)."""

from collections.abc import Sequence

from opens2s_core.training.plan import PlanConfig, plan_epoch


class Batches:
    """Batches of at most ``positions`` padded positions (rows × longest row); a longer utterance gets its own batch.

    Lengths are rounded up to multiples of ``bucket`` positions; utterances of one bucket are shuffled in every epoch.
    """

    def __init__(self, lengths: Sequence[int], positions: int, *, seed: int, bucket: int = 1) -> None:
        self._lengths = [-(-length // bucket) * bucket for length in lengths]
        self._plan = PlanConfig(micro_batches_per_step=1, micro_batch_positions=positions, seed=seed)
        self._epoch, self._steps = 0, plan_epoch(self._lengths, self._plan, 0)

    def at(self, step: int) -> tuple[int, ...]:
        """Indices of the utterances of ``step``, from 0."""
        epoch, index = divmod(step, len(self._steps))  # their number is the same in every epoch
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, plan_epoch(self._lengths, self._plan, epoch)
        (batch,) = self._steps[index]
        return batch
