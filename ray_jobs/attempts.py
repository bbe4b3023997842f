"""Training goes on after a loss of workers, and ends at an error that another attempt would repeat."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from ray.train import TrainingFailedError
from ray.train.torch import TorchTrainer

from opens2s_core.training.run import RunError
from ray_jobs.train_progress import TrainProgress

_FINAL = (ValueError, ImportError, torch.OutOfMemoryError)
"""Errors of workers that another attempt would repeat. Ray calls a loss of machines RuntimeError, a store OSError."""
_MAX_FAILURES = 5


def fit_until_done(trainer: Callable[[], TorchTrainer], progress: TrainProgress, saved: Callable[[], object]) -> None:
    """Run trainers until one succeeds.

    Ray Train would try again after a loss of workers, but not after one that happens while workers start. ``saved`` is
    what is kept of the training so far. Raises :class:`RunError` with the message of a worker's :func:`final_errors`,
    and ``TrainingFailedError`` if workers are lost more than five times in a row with nothing new saved; started again,
    the job goes on.
    """
    failures = 0
    while True:
        before = saved()
        try:
            trainer().fit()
        except TrainingFailedError:
            if (failure := progress.failure()) is not None:
                raise RunError(failure) from None
            failures = failures + 1 if saved() == before else 0
            if failures > _MAX_FAILURES:
                raise
        else:
            return


@contextmanager
def final_errors(progress: TrainProgress) -> Iterator[None]:
    """Within the block of a worker, an error that another attempt would repeat is reported before it is raised."""
    try:
        yield
    except _FINAL as error:
        progress.fail(error)
        raise
