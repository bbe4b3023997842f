"""Choosing the next token of each stream from its logits: all streams at once, on the device of the logits.

Scores are float64. Likelihoods are rounded to whole numbers whose sum float64 holds exactly (for 150,000 tokens: to
2^-34 of the likeliest). Sums are then the same in whatever order a device adds, so a row's token does not depend on the
other rows.
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
"""Likeliest tokens among which those that ``top_p`` keeps are looked for first."""
_BITS = 6
"""Bits of a likelihood after the leading one that distinguish bins: 64 bins to an octave."""
_CACHED = 2**18
"""Likelihoods of which a CPU's cache holds several copies; of more, rows are faster in parts."""


@dataclass(frozen=True, slots=True)
class SamplingInputs:
    """What decides a stream's next token besides its logits. ``generated`` are the reply's tokens so far; they and the
    ids of ``logit_bias`` are columns of the logits."""

    sampling: Sampling
    rng: RngStream
    generated: Sequence[int]

    @property
    def takes_argmax(self) -> bool:
        """Whether the token is the likeliest of the logits as they are."""
        sampling = self.sampling
        penalised = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) != (1.0, 0, 0)
        return sampling.temperature == 0 and not (sampling.logit_bias or (penalised and self.generated))


def choose(logits: Tensor, inputs: Sequence[SamplingInputs]) -> list[int | None]:
    """One id for each row of the logits (R, V); None for a row whose maximum is NaN or infinite.

    A row's id depends on that row and its inputs alone: the random number that decides belongs to its seed, its RNG
    stream and its index in the reply.
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
    """Ids by logits (R, V) that penalties and biases change, or that are drawn from."""
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
    """Rows (n,) and ids (n,) of generated tokens, each once, and for each the repetition penalty and what is subtracted
    (2, n)."""
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
    """Scores (R, V) and their maxima (R,) → whole numbers in proportion to the likelihood, 0 beyond ``top_k``. The
    scores are overwritten."""
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
    """Logarithm of the largest likelihood in a vocabulary of this size: the sum of all stays below 2^53."""
    return 52 - size.bit_length()


def _draw(likelihood: Tensor, inputs: Sequence[SamplingInputs]) -> Tensor:
    """Ids (R,), each as likely as its share of the row's likelihood (R, V) among those that ``top_p`` keeps. The
    likelihoods are overwritten."""
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
    """Ids (R,) drawn by ``numbers`` (R,) from the fewest tokens whose likelihoods (R, V) reach ``needed`` (R,)."""
    count = min(_CANDIDATES, likelihood.shape[1])
    candidates, ids = likelihood.topk(count)
    ids = ids.sort(dim=-1).values
    picked = _pick(_fewest(likelihood.gather(1, ids), needed), numbers)
    chosen = ids.gather(1, picked[:, None])[:, 0]
    if count < likelihood.shape[1]:
        # Of the tokens that are as likely as the last candidate, some may be missing.
        complete = (candidates * (candidates > candidates[:, -1:])).sum(dim=-1) >= needed
        wide = complete.logical_not().nonzero()[:, 0]
        at_once = len(wide) if wide.is_cuda else _CACHED // likelihood.shape[1]
        for rows in wide.split(max(1, at_once)) if len(wide) else ():
            chosen[rows] = _pick(_wide_nucleus(likelihood[rows], needed[rows]), numbers[rows])
    return chosen


def _fewest(likelihood: Tensor, needed: Tensor) -> Tensor:
    """The fewest of the likelihoods (R, C) whose sum reaches ``needed`` (R,), the others set to 0; among equal ones the
    first are kept."""
    ordered, order = likelihood.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(likelihood).scatter_(1, order, ordered * (before < needed[:, None]))


def _wide_nucleus(likelihood: Tensor, needed: Tensor) -> Tensor:
    """As :func:`_fewest`, of a whole vocabulary (R, V): the sums of bins of similar likelihood show in which bin
    ``needed`` is reached, and only the tokens of that are sorted."""
    # The bits of a float grow with it. Bin 0 is for likelihood 0, bin 1 begins at 1.
    bins = (likelihood.view(torch.int64) >> (52 - _BITS)).sub_((1023 << _BITS) - 1).clamp_(min=0)
    count = (_log2_largest(likelihood.shape[1]) << _BITS) + 2
    sums = likelihood.new_zeros(len(likelihood), count).scatter_add_(1, bins, likelihood)
    reached = sums.flip(1).cumsum(dim=1).flip(1)  # by a bin and those above
    last = (reached >= needed[:, None]).sum(dim=1, keepdim=True) - 1
    inside = bins == last
    similar = likelihood * inside
    ids = similar.topk(int(inside.sum(dim=1).max())).indices.sort(dim=1).values
    kept = _fewest(similar.gather(1, ids), needed - (reached - sums).gather(1, last)[:, 0])
    # Added, not written: in rows with fewer tokens in the bin some of the ids are of others.
    return (likelihood * (bins > last)).scatter_add_(1, ids, kept)


def _pick(likelihood: Tensor, numbers: Tensor) -> Tensor:
    """Columns (R,) in which the numbers (R,) in [0, 1) fall when the likelihoods (R, C) lie side by side. The
    likelihoods are overwritten."""
    reached = likelihood.cumsum_(dim=-1)
    drawn = (numbers * reached[:, -1]).floor()  # a whole number below the sum
    return torch.searchsorted(reached, drawn[:, None], right=True)[:, 0]


def _rows(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows of a tensor (R, …), which is not copied where they are all."""
    return tensor if len(rows) == len(tensor) else tensor[torch.tensor(rows, device=tensor.device)]
