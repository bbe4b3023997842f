"""A codebook learned from running averages (van den Oord et al., arXiv 1711.00937, appendix A.1), dead codes restarted.

K codes, D width, M vectors of a batch.
"""

import torch
from torch import Tensor

from opens2s_core.models.speech_tokenizer import SpeechTokenizer

_SMOOTHING = 1e-5


@torch.no_grad()
def update_codebook(model: SpeechTokenizer, vectors: Tensor, ids: Tensor) -> None:
    """Move ``ema_count`` and ``ema_weight`` towards this batch and every code to the mean of what it stood for.

    ``vectors`` (M, D) before quantisation and their codes ``ids`` (M,). Counts are smoothed (Laplace), so that a code
    that was never used stays finite.
    """
    decay = model.config.quantize_ema_decay
    assert decay is not None, "the stage asks for one"
    model.ema_count.lerp_(torch.bincount(ids, minlength=len(model.ema_count)).float(), 1 - decay)
    model.ema_weight.lerp_(torch.zeros_like(model.ema_weight).index_add_(0, ids, vectors), 1 - decay)
    total = model.ema_count.sum()
    smoothed = (model.ema_count + _SMOOTHING) / (total + len(model.ema_count) * _SMOOTHING) * total
    model.codebook.weight.copy_(model.ema_weight / smoothed[:, None])


def dead_codes(model: SpeechTokenizer, share: float) -> Tensor:
    """Bool (K,): codes used less than ``share`` of what each would be if all were used alike."""
    return model.ema_count < share * model.ema_count.mean()


@torch.no_grad()
def restart_codes(model: SpeechTokenizer, which: Tensor, vectors: Tensor, generator: torch.Generator) -> None:
    """Put the codes ``which`` (bool, (K,)) at random ones of ``vectors`` (M, D), as if they were used like the mean."""
    count = int(which.sum())
    order = torch.randperm(len(vectors), generator=generator).repeat(-(-count // len(vectors)))[:count]
    drawn, uses = vectors[order.to(vectors.device)], model.ema_count.mean()
    model.codebook.weight[which] = drawn
    model.ema_count[which] = uses
    model.ema_weight[which] = drawn * uses


def perplexity(model: SpeechTokenizer) -> float:
    """How many codes, used alike, would carry as much as these do: exp of the entropy of their use."""
    use = model.ema_count / model.ema_count.sum()
    return float(torch.exp(torch.special.entr(use).sum()))
