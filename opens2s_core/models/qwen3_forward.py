"""The forward of a Qwen3 over tokens of many sequences, with a preallocated KV cache."""
# n tokens, D width, R slots, T tokens of a slot, S positions that attention reads, K key heads, G query heads to each,
# W width of a head

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

from opens2s_core.models.qwen3_ops import apply_rotary, attend_few, mlp, norm, rotary_embedding


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """Tokens whose attention is computed together: T of each of R adjacent slots, in slot order."""

    tokens: int  # R · T
    first_slot: int
    slots: int  # R
    causal_mask: Tensor  # (R, 1, 1 or G · T, S), -inf at masked positions, else 0


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The input of a forward. ``writes`` are the positions at which keys and values are written: those of the tokens,
    except for padding tokens."""

    embeddings: Tensor  # (n, D)
    slots: Tensor  # (n,)
    positions: Tensor  # (n,)
    writes: Tensor  # (n,)
    groups: list[AttentionGroup]

    def __add__(self, other: "TokenBatch") -> "TokenBatch":
        return TokenBatch(
            torch.cat([self.embeddings, other.embeddings]),
            torch.cat([self.slots, other.slots]),
            torch.cat([self.positions, other.positions]),
            torch.cat([self.writes, other.writes]),
            [*self.groups, *other.groups],
        )


class Qwen3Forward:
    """``query_groups`` is the number of query heads per key head."""

    def __init__(self, lm: Qwen3ForCausalLM) -> None:
        """``ValueError`` for a model with layers other than full attention."""
        if kinds := set(lm.config.layer_types or ()) - {"full_attention"}:
            raise ValueError(f"attention layers {sorted(kinds)}: expected full_attention only")
        weight: Tensor = lm.model.embed_tokens.weight
        self.key_heads: int = lm.config.num_key_value_heads or lm.config.num_attention_heads
        self.query_groups: int = lm.config.num_attention_heads // self.key_heads
        self._model = lm.model
        self._attend_by_bmm = weight.dtype == torch.float32 and not weight.is_cuda

    def __call__(self, tokens: TokenBatch, memory: Tensor) -> Tensor:
        """Hidden states (n, D) after the final norm. Writes keys and values to ``memory`` (layers, 2, slots, K,
        positions, W)."""
        x = tokens.embeddings
        rotary = rotary_embedding(*self._model.rotary_emb(x[None], tokens.positions[None]))
        for layer, layer_memory in zip(self._model.layers, memory, strict=True):
            x = x + self._attention(layer.self_attn, norm(layer.input_layernorm, x), rotary, tokens, layer_memory)
            x = x + mlp(layer.mlp, norm(layer.post_attention_layernorm, x))
        return norm(self._model.norm, x)

    def _attention(
        self, attention: Qwen3Attention, x: Tensor, rotary: tuple[Tensor, Tensor], tokens: TokenBatch, memory: Tensor
    ) -> Tensor:
        """x (n, D) → (n, D). Writes keys and values to ``memory`` (2, slots, K, context + 1, W) first."""
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

    def _attend(self, query: Tensor, group: AttentionGroup, keys: Tensor, values: Tensor) -> Tensor:
        """query (R · T, heads, W) → (R · T, heads · W)."""
        slots = slice(group.first_slot, group.first_slot + group.slots)
        read = group.causal_mask.shape[-1]
        # All queries of a key head are adjacent, so that keys and values need not be repeated.
        query = query.unflatten(0, (group.slots, -1)).unflatten(2, (-1, self.query_groups)).permute(0, 2, 3, 1, 4)
        one_token_each = group.tokens == group.slots
        attend = attend_few if one_token_each and self._attend_by_bmm else functional.scaled_dot_product_attention
        attended = attend(query.flatten(2, 3), keys[slots, :, :read], values[slots, :, :read], group.causal_mask)
        return attended.unflatten(2, (self.query_groups, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(1)
