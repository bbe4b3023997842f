"""Hidden states and losses of the LLM and the speech decoder (README of the golden data, sections (d) to (f))."""
# T positions, R replies, L speech decoder positions, D width, N labels, V vocabulary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.models.thinker import Thinker
from opens2s_core.training.batch import Batch, Replies, predicting_positions
from opens2s_core.training.packing import packed_hidden_states

BLOCKS = 4
"""Parts of the labels whose logits are computed one after another. Their number is the same for every batch: with
ZeRO-3 all ranks must call a head equally often."""


def llm_hidden_states(thinker: Thinker, batch: Batch, audio: list[Tensor]) -> Tensor:
    """The LLM's hidden states (T, D_llm) after its final norm. A dummy clip has a gradient of zero."""
    embeddings = thinker.embed_prompt(batch.input_ids, [] if batch.audio_is_dummy else audio)
    if batch.audio_is_dummy:
        embeddings = embeddings + audio[0].mean() * 0.0
    return packed_hidden_states(thinker.llm_model.model, embeddings, batch.packing)


def speech_inputs(decoder: SpeechDecoder, hidden: Tensor | None, replies: Replies) -> Tensor:
    """Inputs of the speech LM (L, D) from the LLM's hidden states (T, D_llm): of each reply the speaker, then hidden
    states and units in its order. With the layout "prefix", word embeddings of the speech LM replace hidden states,
    which may be None."""
    if replies.layout == "prefix":
        read = decoder.embed_units(replies.text_ids)
    else:
        assert hidden is not None, "the interleaved layout reads hidden states"
        read = decoder.embed_hidden_states(hidden.index_select(0, replies.hidden_index))
    sources = torch.cat([decoder.embed_speaker(replies.speakers), read, decoder.embed_units(replies.speech_ids)])
    return sources.index_select(0, replies.order)


def cross_entropy_sum(hidden: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """The sum of the cross entropies of labels (T,), each from the hidden state (T, D) before it; a scalar.

    Logits exist for positions with labels alone, and of a part of these at a time: (N / 4, V), computed again in the
    backward pass. Without labels the sum is zero, with zero gradient.
    """
    positions = predicting_positions(labels)
    states, targets = hidden.index_select(0, positions), labels.index_select(0, positions + 1)
    blocks = zip(states.tensor_split(BLOCKS), targets.tensor_split(BLOCKS), strict=True)
    sums = [checkpoint(_block_sum, head, *block, use_reentrant=False) for block in blocks]
    return torch.stack(sums).sum()


def _block_sum(head: nn.Module, states: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(head(states).float(), targets, reduction="sum")
