"""Distillation losses between the logits of a teacher and of a student at the same positions.

Ranking loss based knowledge distillation (RLKD, arXiv 2409.12545) adds the rank correlation of the largest logits to a
divergence between the two distributions. All losses are sums over positions, so positions may be passed in parts.
"""
# N positions, V words of the vocabulary, M columns of the union of two top-k sets, k ≤ M ≤ 2 k

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from opens2s_core.config import ConfigError

Divergence = Literal["kl", "reverse_kl", "js", "tvd"]

_MIN_SPREAD = 1e-3
"""Norm of centred ranks below which a row counts as unordered: rounding errors of the soft ranks reach 1e-5."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationConfig:
    """The distillation loss of a training stage."""

    loss: Literal["kl", "reverse_kl", "js", "tvd", "rlkd"] = "kl"
    rank_base: Divergence = "kl"  # the divergence inside "rlkd", not used by the others
    top_k: int = 15  # of "rlkd", not used by the others

    def __post_init__(self) -> None:
        if self.top_k < 2:
            raise ConfigError(f"top_k: expected at least 2, as one logit has no rank, got {self.top_k}")


def distillation_sum(teacher_logits: Tensor, student_logits: Tensor, config: DistillationConfig) -> Tensor:
    """The configured loss of teacher (N, V) and student (N, V'), summed over positions: a scalar in float32 or float64.

    The teacher gets no gradient. Two models of one tokenizer may have different numbers of unused rows after the known
    tokens: the distributions are compared, and normalised, over the first min(V, V') columns. No position gives 0.
    Raises ``ValueError`` for different numbers of positions.
    """
    if teacher_logits.shape[:-1] != student_logits.shape[:-1]:
        raise ValueError(
            f"student logits {tuple(student_logits.shape)}: expected the positions of {tuple(teacher_logits.shape)}"
        )
    words = min(teacher_logits.shape[-1], student_logits.shape[-1])
    teacher, student = _wide(teacher_logits.detach()[:, :words]), _wide(student_logits[:, :words])
    if config.loss == "rlkd":
        return rank_sum(teacher, student, config.top_k) + _DIVERGENCES[config.rank_base](teacher, student) / 2
    return _DIVERGENCES[config.loss](teacher, student)


def kl_sum(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher ‖ student) in nats of the distributions of logits (N, V), summed over N."""
    return functional.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="sum", log_target=True)


def reverse_kl_sum(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(student ‖ teacher) in nats of the distributions of logits (N, V), summed over N."""
    return kl_sum(student, teacher)


def js_sum(teacher: Tensor, student: Tensor) -> Tensor:
    """Jensen-Shannon divergence in nats, at most ln 2 for each position, of logits (N, V), summed over N."""
    p, q = teacher.log_softmax(-1), student.log_softmax(-1)
    mixture = torch.logaddexp(p, q) - math.log(2)
    to_mixture = [functional.kl_div(mixture, side, reduction="sum", log_target=True) for side in (p, q)]
    return (to_mixture[0] + to_mixture[1]) / 2


def tvd_sum(teacher: Tensor, student: Tensor) -> Tensor:
    """Total variation distance, half of the L1 distance, at most 1 for each position, of logits (N, V), summed over
    N."""
    return (teacher.softmax(-1) - student.softmax(-1)).abs().sum() / 2


_DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": kl_sum,
    "reverse_kl": reverse_kl_sum,
    "js": js_sum,
    "tvd": tvd_sum,
}


def rank_sum(teacher: Tensor, student: Tensor, top_k: int) -> Tensor:
    """RLKD's ranking loss 1 - ρ of logits (N, V), summed over N; 0 ≤ 1 - ρ ≤ 2.

    ρ is Spearman's correlation of the soft ranks of the logits in the union of the teacher's and the student's
    ``top_k`` largest (all, if V is smaller). Where one side's ranks are all equal, ρ is 0 without gradient.
    """
    k = min(top_k, teacher.shape[-1])
    columns, valid = _top_union(teacher, student, k)
    ranks = [soft_ranks(logits.gather(-1, columns), valid) for logits in (teacher, student)]
    count = valid.sum(-1, keepdim=True)
    centred = [torch.where(valid, rank - (count + 1) / 2, 0) for rank in ranks]
    spreads = [side.detach().norm(dim=-1) for side in centred]
    ordered = (spreads[0] > _MIN_SPREAD) & (spreads[1] > _MIN_SPREAD)
    # Only ordered rows are computed: the gradient of the cosine is infinite where the ranks are equal.
    correlation = functional.cosine_similarity(centred[0][ordered], centred[1][ordered], dim=-1)
    return len(teacher) - correlation.sum()


def _top_union(teacher: Tensor, student: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns (N, 2 k) of the k largest logits of both, and which are valid: a student's column that is also the
    teacher's is not."""
    of_teacher, of_student = teacher.topk(k, dim=-1).indices, student.topk(k, dim=-1).indices
    duplicate = (of_student[:, :, None] == of_teacher[:, None, :]).any(-1)
    return torch.cat([of_teacher, of_student], -1), torch.cat([torch.ones_like(duplicate), ~duplicate], -1)


def soft_ranks(values: Tensor, valid: Tensor) -> Tensor:
    """Differentiable ranks (N, M) of the ``valid`` values of each row, 1 for the smallest; 0 where not valid.

    The projection of the values onto the convex hull of all permutations of 1, …, count (Blondel et al., arXiv
    2002.08871, section 5, with L2 regularisation of strength 1, as in RLKD's published code). Values that are at least
    1 apart have their exact ranks and no gradient; closer ones share the ranks between them in proportion.
    """
    count = valid.sum(-1, keepdim=True)
    mean = torch.where(valid, values, 0).sum(-1, keepdim=True) / count
    # The ranks do not change with a common offset, and the sums below are more exact without it.
    ordered, order = (values - mean).masked_fill(~valid, -math.inf).sort(dim=-1, descending=True)
    at = torch.arange(values.shape[-1], device=values.device)
    kept = at < count  # (N, M): valid values come first
    ordered = torch.where(kept, ordered, 0)
    distance = ordered - torch.where(kept, count - at, 0)
    ranks = torch.where(kept, ordered - _decreasing_fit(distance, kept), 0)
    return torch.zeros_like(ranks).scatter(-1, order, ranks)


def _decreasing_fit(y: Tensor, kept: Tensor) -> Tensor:
    """The non-increasing sequence nearest to the kept start of each row of ``y`` (N, M), undefined after it.

    Isotonic regression by its min-max formula, min over a ≤ i of max over b ≥ i of the mean of y[a..b], which needs
    M² values per row but no loop.
    """
    at = torch.arange(y.shape[-1], device=y.device)
    sums = functional.pad(y.cumsum(-1), (1, 0))
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / (at - at[:, None] + 1).clamp(min=1)  # (N, a, b)
    usable = (at >= at[:, None]) & kept[:, None, :]
    largest = means.masked_fill(~usable, -math.inf).flip(-1).cummax(-1).values.flip(-1)  # (N, a, i)
    return largest.masked_fill(at < at[:, None], math.inf).amin(1)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
