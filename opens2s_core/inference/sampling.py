"""Choosing the next token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.inference.messages import Sampling
from opens2s_core.inference.noise import Use, uniform


@dataclass(frozen=True, slots=True)
class Choice:
    """The token that a stream chooses next: the one behind ``chosen``, ids in the same numbering as the logits."""

    sampling: Sampling
    use: Use
    chosen: Sequence[int]

    @property
    def likeliest(self) -> bool:
        """Whether it is simply the likeliest."""
        return self.sampling.temperature == 0.0 and (self.sampling.repetition_penalty == 1.0 or not self.chosen)


def choose(logits: Tensor, choices: Sequence[Choice]) -> list[int | None]:
    """One id for each row of logits (R, V); None for a row that holds no number to choose by.

    A row's id depends on that row and on its choice alone: the number that decides belongs to its place in the reply.
    """
    best, ids = logits.max(dim=-1)  # a row with a NaN has that as its maximum
    usable, chosen = best.isfinite().tolist(), ids.tolist()
    sampled = [i for i, choice in enumerate(choices) if usable[i] and not choice.likeliest]
    if sampled:
        rows = logits[torch.tensor(sampled, device=logits.device)].double().cpu().numpy()
        for i, row in zip(sampled, rows, strict=True):
            chosen[i] = _sample(row, choices[i])
    return [token if usable[i] else None for i, token in enumerate(chosen)]


def _sample(logits: NDArray[np.float64], choice: Choice) -> int:
    """``logits`` (V,) are changed."""
    sampling = choice.sampling
    said = np.unique(np.array(choice.chosen, dtype=np.int64))
    penalty = sampling.repetition_penalty
    logits[said] = np.where(logits[said] > 0, logits[said] / penalty, logits[said] * penalty)
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    if sampling.top_k is not None and sampling.top_k < len(logits):
        logits[logits < np.partition(logits, -sampling.top_k)[-sampling.top_k]] = -math.inf
    likelihood = np.exp((logits - logits.max()) / sampling.temperature)
    likelihood /= likelihood.sum()
    if sampling.top_p < 1.0:
        likelihood = _nucleus(likelihood, sampling.top_p)
    reached = likelihood.cumsum()
    drawn = uniform((sampling.seed, choice.use), len(choice.chosen)) * reached[-1]
    return int(np.searchsorted(reached, drawn, side="right"))


def _nucleus(likelihood: NDArray[np.float64], top_p: float) -> NDArray[np.float64]:
    """The fewest values that together reach ``top_p``, the others set to 0."""
    # All that are rarer than this together are not worth 1 - top_p: they need not be sorted.
    candidates = np.flatnonzero(likelihood >= (1 - top_p) / len(likelihood))
    ordered = candidates[np.argsort(-likelihood[candidates], kind="stable")]
    before = likelihood[ordered].cumsum() - likelihood[ordered]
    kept = ordered[before < top_p]
    nucleus = np.zeros_like(likelihood)
    nucleus[kept] = likelihood[kept]
    return nucleus
