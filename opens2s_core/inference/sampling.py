"""Choosing the next token."""

import torch
from torch import Tensor

from opens2s_core.inference.messages import Sampling


def new_generator(sampling: Sampling) -> torch.Generator:
    """A stream's own randomness: no global state is read or written."""
    return torch.Generator().manual_seed(sampling.seed)


def sample(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token id from logits (V,): the likeliest at temperature 0, else drawn from the ``top_p`` nucleus."""
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.float().cpu() / sampling.temperature, dim=-1)
    if sampling.top_p < 1.0:
        ordered, ids = probabilities.sort(descending=True, stable=True)
        outside = ordered.cumsum(0) - ordered >= sampling.top_p
        probabilities = torch.zeros_like(probabilities).scatter(0, ids, ordered.masked_fill(outside, 0.0))
    return int(torch.multinomial(probabilities, 1, generator=generator))
