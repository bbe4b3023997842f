"""The batch of one forward: scheduled chunks as a flat list of tokens.

The list begins with the *last tokens*: for each slot, the last token scheduled for it. If all sequences decode, there
are no others. The earlier tokens of longer chunks (of a prompt or of a group of hidden states) follow.
"""
# n tokens, D width, R slots, T tokens of a slot, S positions that attention reads, K key heads, G query heads to each,
# W width of a head

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opens2s_core.inference.kv_cache import KVSlot
from opens2s_core.models.qwen3_forward import AttentionGroup, TokenBatch

_SMALLEST_BUCKET = 64


def bucket(length: int) -> int:
    """``length`` rounded up to one of few sizes: multiples of 64, and from 512 on four sizes per octave."""
    step = max(_SMALLEST_BUCKET, 2 ** (max(length - 1, 1).bit_length() - 3))
    return -(-length // step) * step


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """The next tokens of a slot, as embeddings (T, D), T at least 1; the last ``keep`` hidden states are returned."""

    slot: KVSlot
    embeddings: Tensor
    keep: int = 1


class BatchLayout:
    """Builds batches for slots of ``context`` positions, with masks of ``dtype`` on ``device``."""

    def __init__(
        self, *, context: int, query_groups: int, fixed_width: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._context = context
        self._query_groups = query_groups
        self._fixed_width = fixed_width
        self._dtype = dtype
        self._device = device

    def read(self, length: int) -> int:
        """Number of positions that attention reads for sequences of ``length``."""
        return self._context if self._fixed_width else min(bucket(length), self._context)

    def last_tokens(self, chunks: Sequence[ScheduledChunk], width: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """The last token of each chunk, padded for those of the first ``width`` slots without a chunk: the arguments of
        :class:`CudaGraphs` and :meth:`decoding`."""
        positions, writes = [0] * width, [self._context] * width
        for chunk in chunks:
            at = chunk.slot.length + len(chunk.embeddings) - 1
            positions[chunk.slot.index] = writes[chunk.slot.index] = at
        last = torch.cat([chunk.embeddings[-1:] for chunk in chunks])
        embeddings = last.new_zeros(width, last.shape[1])
        embeddings[[chunk.slot.index for chunk in chunks]] = last
        both = torch.tensor([positions, writes], device=self._device)
        return embeddings, both[0], both[1], self.read(1 + max(positions))

    def decoding(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> TokenBatch:
        slots = torch.arange(len(embeddings), device=self._device)
        group = AttentionGroup(len(slots), 0, len(slots), self._causal_mask(positions, read)[:, None, None])
        return TokenBatch(embeddings, slots, positions, writes, [group])

    def before_last(self, chunks: Sequence[ScheduledChunk]) -> TokenBatch:
        """All tokens but the last of each chunk of more than one token, in slot order."""
        embeddings = torch.cat([chunk.embeddings[:-1] for chunk in chunks])
        slots: list[int] = []
        positions: list[int] = []
        for chunk in chunks:
            new = range(chunk.slot.length, chunk.slot.length + len(chunk.embeddings) - 1)
            slots += [chunk.slot.index] * len(new)
            positions += new
        both = torch.tensor([slots, positions], device=self._device)
        groups = [self._prefill_group(run) for run in _uniform_runs(chunks)]
        return TokenBatch(embeddings, both[0], both[1], both[1], groups)

    def _prefill_group(self, chunks: Sequence[ScheduledChunk]) -> AttentionGroup:
        count = len(chunks[0].embeddings) - 1
        starts = torch.tensor([chunk.slot.length for chunk in chunks], device=self._device)
        positions = starts[:, None] + torch.arange(count, device=self._device)  # (R, T)
        read = count + max(chunk.slot.length for chunk in chunks)
        mask = self._causal_mask(positions, read)[:, None].expand(-1, self._query_groups, -1, -1)
        mask = mask.reshape(len(chunks), 1, -1, read)
        return AttentionGroup(count * len(chunks), chunks[0].slot.index, len(chunks), mask)

    def _causal_mask(self, positions: Tensor, read: int) -> Tensor:
        """For ``positions`` (…), a mask (…, S) over the first ``read`` positions: -inf for later ones, else 0.

        A boolean mask would be converted to this in each layer.
        """
        later = torch.arange(read, device=self._device) > positions[..., None]
        mask = torch.zeros(later.shape, dtype=self._dtype, device=self._device)
        return mask.masked_fill(later, -math.inf)


def _uniform_runs(chunks: Sequence[ScheduledChunk]) -> Iterator[list[ScheduledChunk]]:
    """Chunks in slot order, split into runs of adjacent slots with chunks of equal length."""
    run: list[ScheduledChunk] = []
    for chunk in chunks:
        if run and (chunk.slot.index != run[-1].slot.index + 1 or len(chunk.embeddings) != len(run[-1].embeddings)):
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run
