"""Random values from a seed, without a change to any other generator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random values on the CPU inside depend on ``seed`` alone; after it the CPU's generator is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too, for good
        yield
