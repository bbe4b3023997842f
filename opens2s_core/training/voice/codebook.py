"""A codebook learned by moving averages (van den Oord et al., arXiv 1711.00937, appendix A.1), with dead code restarts.

K codes, D width, M vectors of a batch.
"""

import torch
from torch import Tensor

from opens2s_core.models.speech_tokenizer import SpeechTokenizer

_SMOOTHING = 1e-5


@torch.no_grad()
def update_codebook(model: SpeechTokenizer, vectors: Tensor, ids: Tensor) -> None:
    """Update ``ema_count``, ``ema_weight`` and the codes from a batch.

    ``vectors`` (M, D) before quantisation and their codes ``ids`` (M,). Laplace smoothing of the counts keeps unused
    codes finite.
    """
    decay = model.config.quantize_ema_decay
    assert decay is not None, "the stage requires a decay"
    model.ema_count.lerp_(torch.bincount(ids, minlength=len(model.ema_count)).float(), 1 - decay)
    model.ema_weight.lerp_(torch.zeros_like(model.ema_weight).index_add_(0, ids, vectors), 1 - decay)
    total = model.ema_count.sum()
    smoothed = (model.ema_count + _SMOOTHING) / (total + len(model.ema_count) * _SMOOTHING) * total
    model.codebook.weight.copy_(model.ema_weight / smoothed[:, None])


def dead_codes(model: SpeechTokenizer, share: float) -> Tensor:
    """Bool (K,): codes used less than ``share`` times the mean."""
    return model.ema_count < share * model.ema_count.mean()


@torch.no_grad()
def restart_codes(model: SpeechTokenizer, which: Tensor, vectors: Tensor, generator: torch.Generator) -> None:
    """Set the codes ``which`` (bool, (K,)) to random ``vectors`` (M, D), with the mean usage."""
    count = int(which.sum())
    order = torch.randperm(len(vectors), generator=generator).repeat(-(-count // len(vectors)))[:count]
    sampled, usage = vectors[order.to(vectors.device)], model.ema_count.mean()
    model.codebook.weight[which] = sampled
    model.ema_count[which] = usage
    model.ema_weight[which] = sampled * usage


def perplexity(model: SpeechTokenizer) -> float:
    """Exp of the entropy of the code usage: the effective number of codes."""
    usage = model.ema_count / model.ema_count.sum()
    return float(torch.exp(torch.special.entr(usage).sum()))
