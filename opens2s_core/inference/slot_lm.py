"""A Qwen3 over a :class:`KVCache`: the next tokens of many sequences in one forward, in any mix of decode and prefill.

A forward computes a flat list of tokens. The first of them are the *last tokens*: for each slot, the last token that is
scheduled for it. While sequences only decode, they are all. After them come the tokens scheduled before the last ones,
of a prompt or of a group of hidden states. So prefill and decode share one forward, and the weights are read once for
all sequences.
"""
# n tokens, D width, R slots, T tokens of a slot, S positions that attention reads, K key heads, G query heads to each,
# W width of a head

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

from opens2s_core.inference.cuda_graphs import CudaGraphs
from opens2s_core.inference.kv_cache import KVCache, KVSlot
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.qwen3_ops import apply_rotary, attend_few, mlp, norm, rotary_embedding

_SMALLEST_BUCKET = 64


def bucket(length: int) -> int:
    """Positions to read for ``length`` of them: in few sizes, multiples of 64 and from 512 on four to an octave."""
    step = max(_SMALLEST_BUCKET, 2 ** (max(length - 1, 1).bit_length() - 3))
    return -(-length // step) * step


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """The next tokens of a slot, embeddings (T, D), T at least 1; the last ``keep`` of the hidden states are wanted."""

    slot: KVSlot
    embeddings: Tensor
    keep: int = 1


@dataclass(frozen=True, slots=True)
class _AttentionGroup:
    """Tokens that attend together: T of each of R neighbouring slots, slot by slot."""

    tokens: int  # R · T
    first_slot: int
    slots: int  # R
    causal_mask: Tensor  # (R, 1, 1 or G · T, S), -inf where attention does not look, else 0


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What a forward computes. ``writes`` says where keys and values are written: at the token's position, but for a
    padding token of a slot that takes no part."""

    embeddings: Tensor  # (n, D)
    slots: Tensor  # (n,)
    positions: Tensor  # (n,)
    writes: Tensor  # (n,)
    groups: list[_AttentionGroup]

    def __add__(self, other: "_Tokens") -> "_Tokens":
        return _Tokens(
            torch.cat([self.embeddings, other.embeddings]),
            torch.cat([self.slots, other.slots]),
            torch.cat([self.positions, other.positions]),
            torch.cat([self.writes, other.writes]),
            [*self.groups, *other.groups],
        )


class SlotLM:
    """``slots`` sequences of at most ``context`` positions each, kept in ``cache``.

    With ``fixed_width`` what is computed for a sequence has the same shapes whatever the others do, so that not even
    the rounding depends on them. It costs: every forward computes all slots and reads the whole context, and prefill
    does not share a forward with decode.
    """

    def __init__(self, lm: Qwen3ForCausalLM, *, slots: int, settings: LMSettings) -> None:
        """``ValueError`` for a model with other than full attention."""
        config = lm.config
        kinds, key_heads = set(config.layer_types or ()), config.num_key_value_heads or config.num_attention_heads
        if kinds - {"full_attention"}:
            raise ValueError(f"attention layers {sorted(kinds)}: expected full_attention only")
        context = min(settings.context, config.max_position_embeddings)
        self.context, self.fixed_width = context, settings.fixed_width
        self._model = lm.model
        self._query_groups = config.num_attention_heads // key_heads
        weight: Tensor = lm.model.embed_tokens.weight
        self._device = weight.device
        self.cache = KVCache(
            layers=config.num_hidden_layers,
            slots=slots,
            heads=key_heads,
            context=context,
            width=config.head_dim,
            dtype=weight.dtype,
            device=weight.device,
            reuse=not settings.fixed_width,  # a reused past was computed in other shapes
        )
        self._attend_by_bmm = weight.dtype == torch.float32 and not weight.is_cuda
        self._graphs: CudaGraphs | None = None
        if weight.is_cuda:
            self._graphs = CudaGraphs(self._decode, weight.new_zeros(slots, weight.shape[1]), spare=context)
            self.warm_up()

    def warm_up(self) -> None:
        """Record the graphs of all sizes, where there are any, before the first stream waits for them."""
        if self._graphs is not None:
            for read in sorted({self._read(length) for length in range(1, self.context + 1)}):
                self._graphs.record(read)

    def logits(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Hidden states (n, D) of as many slots, by the weights (V, D) of a head → (n, V)."""
        if not self.fixed_width:
            return functional.linear(hidden, head)
        padded = functional.pad(hidden, (0, 0, 0, len(self.cache.slots) - len(hidden)))
        return functional.linear(padded, head)[: len(hidden)]

    @torch.inference_mode()
    def forward(self, chunks: Sequence[ScheduledChunk]) -> list[Tensor]:
        """The hidden states (keep, D) of each chunk, after the final norm; its slot must have room for its tokens."""
        assert all(chunk.slot.length + len(chunk.embeddings) <= self.context for chunk in chunks), "a slot is full"
        prefill = sorted((chunk for chunk in chunks if len(chunk.embeddings) > 1), key=lambda chunk: chunk.slot.index)
        if self.fixed_width:
            before = [self._run(self._before_last([chunk])) for chunk in prefill]
            last = self._decode_all(chunks)
        elif self._graphs is not None and not prefill:
            before, last = [], self._decode_all(chunks)
        else:
            width = 1 + max(chunk.slot.index for chunk in chunks)
            tokens = self._decoding(*self._last_tokens(chunks, width))
            hidden = self._run(tokens + self._before_last(prefill) if prefill else tokens)
            last, *before = hidden.split([width, *(len(chunk.embeddings) - 1 for chunk in prefill)])
        early = {chunk.slot.index: hidden for chunk, hidden in zip(prefill, before, strict=True)}
        return [self._take_hidden(chunk, last, early.get(chunk.slot.index)) for chunk in chunks]

    def _take_hidden(self, chunk: ScheduledChunk, last: Tensor, before: Tensor | None) -> Tensor:
        chunk.slot.length += len(chunk.embeddings)
        hidden = last[chunk.slot.index : chunk.slot.index + 1]
        return hidden if chunk.keep == 1 or before is None else torch.cat([before[1 - chunk.keep :], hidden])

    def _read(self, length: int) -> int:
        return self.context if self.fixed_width else min(bucket(length), self.context)

    def _last_tokens(self, chunks: Sequence[ScheduledChunk], width: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """The last token of each chunk, and padding for each of the first ``width`` slots without a chunk: as
        :class:`CudaGraphs` and :meth:`_decode` take them."""
        positions, writes = [0] * width, [self.context] * width
        for chunk in chunks:
            at = chunk.slot.length + len(chunk.embeddings) - 1
            positions[chunk.slot.index] = writes[chunk.slot.index] = at
        last = torch.cat([chunk.embeddings[-1:] for chunk in chunks])
        embeddings = last.new_zeros(width, last.shape[1])
        embeddings[[chunk.slot.index for chunk in chunks]] = last
        both = torch.tensor([positions, writes], device=self._device)
        return embeddings, both[0], both[1], self._read(1 + max(positions))

    def _decoding(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> _Tokens:
        slots = torch.arange(len(embeddings), device=self._device)
        group = _AttentionGroup(len(slots), 0, len(slots), self._causal_mask(positions, read)[:, None, None])
        return _Tokens(embeddings, slots, positions, writes, [group])

    def _decode_all(self, chunks: Sequence[ScheduledChunk]) -> Tensor:
        """Hidden states (slots, D) of the last tokens, by shapes that do not depend on their number."""
        decode = self._graphs or self._decode
        return decode(*self._last_tokens(chunks, len(self.cache.slots)))

    def _decode(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> Tensor:
        return self._run(self._decoding(embeddings, positions, writes, read))

    def _before_last(self, chunks: Sequence[ScheduledChunk]) -> _Tokens:
        """All tokens but the last of each chunk of more than one, in the order of slots."""
        embeddings = torch.cat([chunk.embeddings[:-1] for chunk in chunks])
        slots: list[int] = []
        positions: list[int] = []
        for chunk in chunks:
            new = range(chunk.slot.length, chunk.slot.length + len(chunk.embeddings) - 1)
            slots += [chunk.slot.index] * len(new)
            positions += new
        both = torch.tensor([slots, positions], device=self._device)
        groups = [self._prefill_group(run) for run in _uniform_runs(chunks)]
        return _Tokens(embeddings, both[0], both[1], both[1], groups)

    def _prefill_group(self, chunks: Sequence[ScheduledChunk]) -> _AttentionGroup:
        count = len(chunks[0].embeddings) - 1
        starts = torch.tensor([chunk.slot.length for chunk in chunks], device=self._device)
        positions = starts[:, None] + torch.arange(count, device=self._device)  # (R, T)
        read = count + max(chunk.slot.length for chunk in chunks)
        mask = self._causal_mask(positions, read)[:, None].expand(-1, self._query_groups, -1, -1)
        mask = mask.reshape(len(chunks), 1, -1, read)
        return _AttentionGroup(count * len(chunks), chunks[0].slot.index, len(chunks), mask)

    def _causal_mask(self, positions: Tensor, read: int) -> Tensor:
        """For each of ``positions`` (…) the first ``read`` ones (…, S): -inf for those after it, else 0.

        Attention would convert a boolean mask to this again in each layer.
        """
        later = torch.arange(read, device=self._device) > positions[..., None]
        mask = torch.zeros(later.shape, dtype=self.cache.memory.dtype, device=self._device)
        return mask.masked_fill(later, -math.inf)

    def _run(self, tokens: _Tokens) -> Tensor:
        """Hidden states (n, D) after the final norm."""
        x = tokens.embeddings
        rotary = rotary_embedding(*self._model.rotary_emb(x[None], tokens.positions[None]))
        for layer, memory in zip(self._model.layers, self.cache.memory, strict=True):
            x = x + self._attention(layer.self_attn, norm(layer.input_layernorm, x), rotary, tokens, memory)
            x = x + mlp(layer.mlp, norm(layer.post_attention_layernorm, x))
        return norm(self._model.norm, x)

    def _attention(
        self, attention: Qwen3Attention, x: Tensor, rotary: tuple[Tensor, Tensor], tokens: _Tokens, memory: Tensor
    ) -> Tensor:
        """x (n, D) → (n, D); keys and values are added to ``memory`` (2, slots, K, context + 1, W) first."""
        query, key, value = (
            linear(x).unflatten(-1, (-1, attention.head_dim))  # (n, heads, W)
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        both = torch.cat([norm(attention.q_norm, query), norm(attention.k_norm, key)], dim=1)
        query, key = apply_rotary(both, rotary).split([query.shape[1], key.shape[1]], dim=1)
        keys, values = memory
        keys[tokens.slots, :, tokens.writes] = key
        values[tokens.slots, :, tokens.writes] = value
        queries = query.split([group.tokens for group in tokens.groups])
        attended = [self._attend(part, group, keys, values) for part, group in zip(queries, tokens.groups, strict=True)]
        return attention.o_proj(torch.cat(attended) if len(attended) > 1 else attended[0])

    def _attend(self, query: Tensor, group: _AttentionGroup, keys: Tensor, values: Tensor) -> Tensor:
        """query (R · T, heads, W) → (R · T, heads · W)."""
        slots = slice(group.first_slot, group.first_slot + group.slots)
        read = group.causal_mask.shape[-1]
        # All queries of a key head lie side by side: keys and values are not repeated for them.
        query = query.unflatten(0, (group.slots, -1)).unflatten(2, (-1, self._query_groups)).permute(0, 2, 3, 1, 4)
        one_token_each = group.tokens == group.slots
        attend = attend_few if one_token_each and self._attend_by_bmm else functional.scaled_dot_product_attention
        attended = attend(query.flatten(2, 3), keys[slots, :, :read], values[slots, :, :read], group.causal_mask)
        return attended.unflatten(2, (self._query_groups, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(1)


def _uniform_runs(chunks: Sequence[ScheduledChunk]) -> Iterator[list[ScheduledChunk]]:
    """Chunks in the order of slots, cut into runs of neighbouring slots and equal lengths."""
    run: list[ScheduledChunk] = []
    for chunk in chunks:
        if run and (chunk.slot.index != run[-1].slot.index + 1 or len(chunk.embeddings) != len(run[-1].embeddings)):
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run
