"""The two losses of joint training: the words and the speech units."""
# B rows, T positions, R replies, L speech decoder positions, D width

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import Batch


@dataclass(frozen=True, slots=True)
class LossSums:
    """Cross entropies summed over labels: scalars with gradient."""

    text: Tensor
    speech: Tensor


class LossModel(nn.Module):
    """A model whose forward pass gives its losses, as wrappers of training frameworks expect."""

    def __init__(self, model: OpenS2S) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> LossSums:
        return forward_losses(self.model, batch)


def forward_losses(model: OpenS2S, batch: Batch) -> LossSums:
    """Teacher-forced pass over a batch; every module takes part, whatever the batch holds."""
    thinker, decoder = model.thinker, model.speech_decoder
    audio = thinker.embed_audio(batch.audio)
    stand_in = audio[0].sum() * 0.0 if batch.audio_is_stand_in else 0.0
    embeddings = thinker.embed_prompt(batch.input_ids, [] if batch.audio_is_stand_in else audio)
    hidden = thinker.llm_model.model(inputs_embeds=embeddings, attention_mask=batch.attention_mask).last_hidden_state
    text = _cross_entropy_sum(hidden, batch.labels, thinker.llm_model.lm_head)

    replies = hidden.flatten(0, 1)[batch.hidden_index]  # (R, H, D_llm)
    parts = [
        decoder.no_speaker(len(replies))[:, None],
        decoder.embed_hiddens(replies),
        decoder.embed_units(batch.speech_ids),
    ]
    sources = torch.cat(parts, dim=1)  # (R, 1 + H + U, D)
    inputs = sources.gather(1, batch.order[..., None].expand(-1, -1, sources.shape[2]))  # (R, L, D)
    lm = decoder.tts_lm_model
    spoken = lm.model(inputs_embeds=inputs, attention_mask=batch.speech_mask).last_hidden_state
    speech = _cross_entropy_sum(spoken, batch.speech_labels, lm.lm_head)
    return LossSums(text + stand_in, speech)


def _cross_entropy_sum(hidden: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """Cross entropy of each label given the position before it; the head runs at labelled positions only."""
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = head(hidden[:, :-1][learned]).float()  # (labels, V)
    return functional.cross_entropy(logits, targets[learned], reduction="sum")
