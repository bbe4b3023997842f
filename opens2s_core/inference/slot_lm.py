"""A Qwen3 with a :class:`KVCache`: one forward for many sequences, in any mix of decode and prefill.

See :mod:`~opens2s_core.inference.batch_layout` for the layout of a batch.
"""
# n tokens, D width

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3ForCausalLM

from opens2s_core.inference.batch_layout import BatchLayout, ScheduledChunk
from opens2s_core.inference.cuda_graphs import CudaGraphs
from opens2s_core.inference.kv_cache import KVCache
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.models.qwen3_forward import Qwen3Forward, TokenBatch


class SlotLM:
    """``slots`` sequences of at most ``context`` positions each, stored in ``cache``.

    With ``fixed_width`` the shapes of a sequence's computation do not depend on other sequences, so not even rounding
    does. It is slower: every forward computes all slots and reads the whole context, and prefill does not share a
    forward with decode.
    """

    def __init__(self, lm: Qwen3ForCausalLM, *, slots: int, settings: LMSettings) -> None:
        """``ValueError`` for a model with layers other than full attention."""
        config = lm.config
        weight: Tensor = lm.model.embed_tokens.weight
        self.context = min(settings.context, config.max_position_embeddings)
        self.fixed_width = settings.fixed_width
        self._forward = Qwen3Forward(lm)
        self.cache = KVCache(
            layers=config.num_hidden_layers,
            slots=slots,
            heads=self._forward.key_heads,
            context=self.context,
            width=config.head_dim,
            dtype=weight.dtype,
            device=weight.device,
            reuse=not settings.fixed_width,  # reused positions were computed with other shapes
        )
        self._layout = BatchLayout(
            context=self.context,
            query_groups=self._forward.query_groups,
            fixed_width=settings.fixed_width,
            dtype=weight.dtype,
            device=weight.device,
        )
        self._graphs: CudaGraphs | None = None
        if weight.is_cuda:
            self._graphs = CudaGraphs(self._decode, weight.new_zeros(slots, weight.shape[1]), spare=self.context)
            self.warm_up()

    def warm_up(self) -> None:
        """Capture the CUDA graphs of all sizes, if used, so that no stream waits for it."""
        if self._graphs is not None:
            for read in sorted({self._layout.read(length) for length in range(1, self.context + 1)}):
                self._graphs.record(read)

    def logits(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Hidden states (n, D) of n slots and the weights (V, D) of a head → (n, V)."""
        if not self.fixed_width:
            return functional.linear(hidden, head)
        padded = functional.pad(hidden, (0, 0, 0, len(self.cache.slots) - len(hidden)))
        return functional.linear(padded, head)[: len(hidden)]

    @torch.inference_mode()
    def forward(self, chunks: Sequence[ScheduledChunk]) -> list[Tensor]:
        """The hidden states (keep, D) of each chunk after the final norm; the chunk must fit its slot."""
        assert all(chunk.slot.length + len(chunk.embeddings) <= self.context for chunk in chunks), "a slot is full"
        prefill = sorted((chunk for chunk in chunks if len(chunk.embeddings) > 1), key=lambda chunk: chunk.slot.index)
        if self.fixed_width:
            before = [self._run(self._layout.before_last([chunk])) for chunk in prefill]
            last = self._decode_all(chunks)
        elif self._graphs is not None and not prefill:
            before, last = [], self._decode_all(chunks)
        else:
            width = 1 + max(chunk.slot.index for chunk in chunks)
            tokens = self._layout.decoding(*self._layout.last_tokens(chunks, width))
            hidden = self._run(tokens + self._layout.before_last(prefill) if prefill else tokens)
            last, *before = hidden.split([width, *(len(chunk.embeddings) - 1 for chunk in prefill)])
        early = {chunk.slot.index: hidden for chunk, hidden in zip(prefill, before, strict=True)}
        return [self._take_hidden(chunk, last, early.get(chunk.slot.index)) for chunk in chunks]

    def _take_hidden(self, chunk: ScheduledChunk, last: Tensor, before: Tensor | None) -> Tensor:
        chunk.slot.length += len(chunk.embeddings)
        hidden = last[chunk.slot.index : chunk.slot.index + 1]
        return hidden if chunk.keep == 1 or before is None else torch.cat([before[1 - chunk.keep :], hidden])

    def _decode_all(self, chunks: Sequence[ScheduledChunk]) -> Tensor:
        """Hidden states (slots, D) of the last tokens, in shapes that do not depend on the number of chunks."""
        decode = self._graphs or self._decode
        return decode(*self._layout.last_tokens(chunks, len(self.cache.slots)))

    def _decode(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> Tensor:
        return self._run(self._layout.decoding(embeddings, positions, writes, read))

    def _run(self, tokens: TokenBatch) -> Tensor:
        return self._forward(tokens, self.cache.memory)
