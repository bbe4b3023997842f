"""Sampling of the next token of each stream: batched, on the device of the logits.

Scores are float64. Likelihoods are rounded to integers whose sum is exact in float64 (for 150,000 tokens: to 2^-34 of
the largest). Sums then do not depend on the order of addition, so a row's token does not depend on the other rows.
"""
# R rows, V tokens, C candidates, n changes

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from opens2s_core.inference.messages import Sampling
from opens2s_core.inference.noise import RngStream, uniform

_CANDIDATES = 512
"""Number of the likeliest tokens among which the nucleus of ``top_p`` is searched first."""
_BITS = 6
"""Mantissa bits of a likelihood that distinguish bins: 64 bins per octave."""
_CACHED = 2**18
"""Number of likelihoods of which a CPU's cache holds several copies; larger batches are faster in parts."""


@dataclass(frozen=True, slots=True)
class SamplingInputs:
    """The sampling inputs of one stream besides its logits. ``generated`` are the tokens of the reply so far; they and
    the ids of ``logit_bias`` are columns of the logits."""

    sampling: Sampling
    rng: RngStream
    generated: Sequence[int]

    @property
    def takes_argmax(self) -> bool:
        """Whether the token is the argmax of the unchanged logits."""
        sampling = self.sampling
        penalised = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) != (1.0, 0, 0)
        return sampling.temperature == 0 and not (sampling.logit_bias or (penalised and self.generated))


def choose(logits: Tensor, inputs: Sequence[SamplingInputs]) -> list[int | None]:
    """One id for each row of the logits (R, V); None for a row whose maximum is NaN or infinite.

    An id depends only on its row and the inputs of that row: the random number is a function of the seed, the RNG
    stream and the index in the reply.
    """
    best, ids = logits.max(dim=-1)  # a row with a NaN has that as its maximum
    chosen = torch.where(best.isfinite(), ids, -1).tolist()
    others = [i for i, one in enumerate(inputs) if chosen[i] >= 0 and not one.takes_argmax]
    if others:
        rows = _rows(logits, others)
        for i, token in zip(others, _choose_adjusted(rows, [inputs[i] for i in others]), strict=True):
            chosen[i] = token
    return [token if token >= 0 else None for token in chosen]


def _choose_adjusted(logits: Tensor, inputs: Sequence[SamplingInputs]) -> list[int]:
    """Ids from logits (R, V) with penalties, biases or random sampling."""
    scores = _adjusted(logits, inputs)
    best, ids = scores.max(dim=-1)
    drawn = [i for i, one in enumerate(inputs) if one.sampling.temperature > 0]
    if drawn:
        likelihood = _likelihood(_rows(scores, drawn), _rows(best, drawn), [inputs[i].sampling for i in drawn])
        ids[torch.tensor(drawn, device=ids.device)] = _draw(likelihood, [inputs[i] for i in drawn])
    return ids.tolist()


def _adjusted(logits: Tensor, inputs: Sequence[SamplingInputs]) -> Tensor:
    """Logits (R, V) as float64 with penalties and biases."""
    scores = logits.to(torch.float64, copy=True)
    rows, ids, changes = _penalties(inputs)
    if len(ids):
        at = torch.from_numpy(np.stack([rows, ids])).to(scores.device)
        repetition, subtracted = torch.from_numpy(changes).to(scores.device)
        old = scores[at[0], at[1]]
        new = torch.where(old > 0, old / repetition, old * repetition) - subtracted
        scores[at[0], at[1]] = new.clamp(max=torch.finfo(new.dtype).max)  # a tiny penalty may divide to infinity
    biases = [(row, *bias) for row, one in enumerate(inputs) for bias in one.sampling.logit_bias]
    if biases:
        row, token, bias = zip(*biases, strict=True)
        at = torch.tensor([row, token], device=scores.device)
        scores[at[0], at[1]] += torch.tensor(bias, dtype=scores.dtype, device=scores.device)
    return scores


def _penalties(inputs: Sequence[SamplingInputs]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n,) and unique ids (n,) of generated tokens, with their repetition and subtracted penalties (2, n)."""
    rows, ids, changes = [], [], []
    for row, one in enumerate(inputs):
        sampling = one.sampling
        unique, counts = np.unique(np.array(one.generated, dtype=np.int64), return_counts=True)
        subtracted = sampling.presence_penalty + sampling.frequency_penalty * counts
        rows.append(np.full(len(unique), row))
        ids.append(unique)
        changes.append(np.stack([np.full(len(unique), sampling.repetition_penalty), subtracted]))
    return np.concatenate(rows), np.concatenate(ids), np.concatenate(changes, axis=1)


def _likelihood(scores: Tensor, best: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Scores (R, V) and their maxima (R,) → integers proportional to the likelihood, 0 beyond ``top_k``. The scores are
    overwritten."""
    size = scores.shape[1]
    top_k = [min(sampling.top_k or size, size) for sampling in samplings]
    if min(top_k) < size:
        limited = max(k for k in top_k if k < size)
        ordered = scores.topk(limited).values
        last = torch.tensor([min(k, limited) - 1 for k in top_k], device=scores.device)
        least = ordered.gather(1, last[:, None])
        least[torch.tensor([k == size for k in top_k], device=scores.device)] = -math.inf
        scores.masked_fill_(scores < least, -math.inf)
    temperature = scores.new_tensor([sampling.temperature for sampling in samplings])
    return scores.sub_(best[:, None]).div_(temperature[:, None]).exp_().mul_(2.0 ** _log2_largest(size)).round_()


def _log2_largest(size: int) -> int:
    """Log2 of the largest likelihood for a vocabulary of this size: the sum of all stays below 2^53."""
    return 52 - size.bit_length()


def _draw(likelihood: Tensor, inputs: Sequence[SamplingInputs]) -> Tensor:
    """Ids (R,) sampled from the likelihoods (R, V) within the nucleus of ``top_p``. The likelihoods are overwritten."""
    numbers = likelihood.new_tensor([uniform((one.sampling.seed, one.rng), len(one.generated)) for one in inputs])
    limited = [i for i, one in enumerate(inputs) if one.sampling.top_p < 1]
    if not limited:
        return _pick(likelihood, numbers)
    top_p = likelihood.new_tensor([inputs[i].sampling.top_p for i in limited])
    rows = _rows(likelihood, limited)
    chosen = _draw_nucleus(rows, (top_p * rows.sum(dim=-1)).ceil(), _rows(numbers, limited))
    if len(limited) == len(inputs):
        return chosen
    ids = _pick(likelihood, numbers)
    ids[torch.tensor(limited, device=ids.device)] = chosen
    return ids


def _draw_nucleus(likelihood: Tensor, needed: Tensor, numbers: Tensor) -> Tensor:
    """Ids (R,) sampled by ``numbers`` (R,) from the fewest tokens whose likelihoods (R, V) sum to ``needed`` (R,)."""
    count = min(_CANDIDATES, likelihood.shape[1])
    candidates, ids = likelihood.topk(count)
    ids = ids.sort(dim=-1).values
    picked = _pick(_fewest(likelihood.gather(1, ids), needed), numbers)
    chosen = ids.gather(1, picked[:, None])[:, 0]
    if count < likelihood.shape[1]:
        # Some tokens as likely as the last candidate may be missing.
        complete = (candidates * (candidates > candidates[:, -1:])).sum(dim=-1) >= needed
        wide = complete.logical_not().nonzero()[:, 0]
        at_once = len(wide) if wide.is_cuda else _CACHED // likelihood.shape[1]
        for rows in wide.split(max(1, at_once)) if len(wide) else ():
            chosen[rows] = _pick(_wide_nucleus(likelihood[rows], needed[rows]), numbers[rows])
    return chosen


def _fewest(likelihood: Tensor, needed: Tensor) -> Tensor:
    """The fewest likelihoods (R, C) whose sum reaches ``needed`` (R,), the others set to 0; of equal ones the first are
    kept."""
    ordered, order = likelihood.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(likelihood).scatter_(1, order, ordered * (before < needed[:, None]))


def _wide_nucleus(likelihood: Tensor, needed: Tensor) -> Tensor:
    """:func:`_fewest` for a whole vocabulary (R, V): tokens are summed in bins of similar likelihood, and only the bin
    in which ``needed`` is reached is sorted."""
    # The bit pattern of a positive float is monotonic. Bin 0 is for likelihood 0, bin 1 begins at 1.
    bins = (likelihood.view(torch.int64) >> (52 - _BITS)).sub_((1023 << _BITS) - 1).clamp_(min=0)
    count = (_log2_largest(likelihood.shape[1]) << _BITS) + 2
    sums = likelihood.new_zeros(len(likelihood), count).scatter_add_(1, bins, likelihood)
    reached = sums.flip(1).cumsum(dim=1).flip(1)  # sum of a bin and those above
    last = (reached >= needed[:, None]).sum(dim=1, keepdim=True) - 1
    inside = bins == last
    similar = likelihood * inside
    ids = similar.topk(int(inside.sum(dim=1).max())).indices.sort(dim=1).values
    kept = _fewest(similar.gather(1, ids), needed - (reached - sums).gather(1, last)[:, 0])
    # Added, not assigned: in rows with fewer tokens in the bin, some ids are outside of it.
    return (likelihood * (bins > last)).scatter_add_(1, ids, kept)


def _pick(likelihood: Tensor, numbers: Tensor) -> Tensor:
    """Columns (R,) by inverse transform sampling: numbers (R,) in [0, 1) and likelihoods (R, C). The likelihoods are
    overwritten."""
    reached = likelihood.cumsum_(dim=-1)
    drawn = (numbers * reached[:, -1]).floor()  # an integer below the sum
    return torch.searchsorted(reached, drawn[:, None], right=True)[:, 0]


def _rows(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows of a tensor (R, …), without a copy if they are all rows."""
    return tensor if len(rows) == len(tensor) else tensor[torch.tensor(rows, device=tensor.device)]
