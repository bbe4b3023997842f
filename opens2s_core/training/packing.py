"""Packing of sequences in one forward of an LM: without padding, and each as if it were alone."""
# T positions, D width

from torch import Tensor
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

from opens2s_core.models.packed_attention import Packing, pack, use_packed_attention

__all__ = ["Packing", "pack", "packed_hidden_states"]


def packed_hidden_states(model: Qwen3Model, embeddings: Tensor, packing: Packing) -> Tensor:
    """Embeddings (T, D) → hidden states (T, D) after the final norm, each sequence as if it were alone.

    Works with gradients, activation checkpointing and LoRA. Gives ``model`` packed attention, see
    :func:`~opens2s_core.models.packed_attention.use_packed_attention`. ``ValueError`` for a model with layers other
    than full attention.
    """
    if others := set(model.config.layer_types or []) - {"full_attention"}:
        raise ValueError(f"layers of types {sorted(others)}: expected full attention in all layers")
    use_packed_attention(model)
    output = model(
        inputs_embeds=embeddings[None],
        position_ids=packing.positions[None],
        attention_mask={"full_attention": None},  # otherwise a mask of T × T would be made
        use_cache=False,
        packing=packing,
    )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden
