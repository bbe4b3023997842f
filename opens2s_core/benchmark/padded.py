"""Training on rows padded to one width, as it is usual: what packing is compared with. The losses are the same."""
# T positions of all sequences, S sequences, W positions of the longest one, D width

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

from opens2s_core.training.batch import Batch
from opens2s_core.training.losses import cross_entropy_sum, speech_inputs
from opens2s_core.training.objective import Objective
from opens2s_core.training.packing import Packing
from opens2s_core.training.plan import MicroBatch


def padded_micro_batches(lengths: Sequence[int], positions: int, seed: int) -> list[MicroBatch]:
    """All samples once. Samples of similar length share a micro-batch of at most ``positions``, padding included; the
    micro-batches are in random order."""
    order = np.argsort(lengths, kind="stable").tolist()
    batches: list[list[int]] = [[]]
    for sample in order:  # ascending: each sample is the longest so far
        if batches[-1] and (len(batches[-1]) + 1) * lengths[sample] > positions:
            batches.append([])
        batches[-1].append(sample)
    shuffled = np.random.default_rng(seed).permutation(len(batches))
    return [tuple(batches[number]) for number in shuffled]


def padded_losses(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    """The sums of the losses on text and units, as :class:`Objective` computes them from packed rows."""
    thinker, decoder = objective.model.thinker, objective.model.speech_decoder
    embeddings = thinker.embed_prompt(batch.input_ids, thinker.embed_audio(batch.audio))
    hidden = _padded_hidden_states(thinker.llm_model.model, embeddings, batch.packing)
    replies, lm = batch.replies, decoder.tts_lm_model
    spoken = _padded_hidden_states(lm.model, speech_inputs(decoder, hidden, replies), replies.packing)
    return {
        "text": cross_entropy_sum(hidden, batch.labels, thinker.llm_model.lm_head),
        "units": cross_entropy_sum(spoken, replies.labels, lm.lm_head),
    }


def padded_cells(batch: Batch) -> tuple[int, int]:
    """As :meth:`Batch.cells`, for padded rows of LLM and speech decoder; the audio encoder is the same."""
    useful, computed = batch.cells()
    for packing in (batch.packing, batch.replies.packing):
        sequences, positions = len(packing.starts) - 1, len(packing.positions)
        computed += sequences * packing.longest - positions
    return useful, computed


def _padded_hidden_states(model: Qwen3Model, embeddings: Tensor, packing: Packing) -> Tensor:
    """(T, D) → (T, D): the sequences as rows (S, W, D), padded on the right."""
    lengths = packing.starts.diff().tolist()
    rows = pad_sequence(list(embeddings.split(lengths)), batch_first=True)
    mask = torch.arange(rows.shape[1]) < torch.tensor(lengths)[:, None]
    states = model(inputs_embeds=rows, attention_mask=mask, use_cache=False).last_hidden_state
    hidden: Tensor = states[mask]
    return hidden
