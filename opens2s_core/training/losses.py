"""The losses of joint training, on text and on speech units (README of the golden data, sections (d) to (f))."""
# B rows, T positions, R replies, L speech decoder positions, D width

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.models.thinker import Thinker
from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import Batch, Replies


@dataclass(frozen=True, slots=True)
class LossSums:
    """Cross entropies summed over labels, scalars with gradient."""

    text: Tensor
    speech: Tensor


class LossModel(nn.Module):
    """A module whose forward returns the losses, for wrappers of training frameworks."""

    def __init__(self, model: OpenS2S) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> LossSums:
        return forward_losses(self.model, batch)


def forward_losses(model: OpenS2S, batch: Batch) -> LossSums:
    """Teacher-forced forward of a batch. Every module is in the graph, whatever the batch contains.

    A sum without labels is zero, with zero gradient (NaN in the published code).
    """
    return losses_given_audio(model, batch, model.thinker.embed_audio(batch.audio))


def losses_given_audio(model: OpenS2S, batch: Batch, audio: list[Tensor]) -> LossSums:
    """The losses of a batch with embedded clips: ``audio`` is a list of (audio_positions, D_llm)."""
    hidden = llm_hidden_states(model.thinker, batch, audio)
    text = _cross_entropy_sum(hidden, batch.labels, model.thinker.llm_model.lm_head)
    if batch.audio_is_dummy:
        text = text + audio[0].sum() * 0.0
    lm = model.speech_decoder.tts_lm_model
    inputs = speech_inputs(model.speech_decoder, hidden, batch.replies)
    speech_hidden = lm.model(inputs_embeds=inputs, attention_mask=batch.replies.mask).last_hidden_state
    return LossSums(text, _cross_entropy_sum(speech_hidden, batch.replies.labels, lm.lm_head))


def llm_hidden_states(thinker: Thinker, batch: Batch, audio: list[Tensor]) -> Tensor:
    """The LLM's last hidden states (B, T, D_llm) after its final norm, undefined at padding."""
    embeddings = thinker.embed_prompt(batch.input_ids, [] if batch.audio_is_dummy else audio)
    return thinker.llm_model.model(inputs_embeds=embeddings, attention_mask=batch.attention_mask).last_hidden_state


def speech_inputs(decoder: SpeechDecoder, hidden: Tensor, replies: Replies) -> Tensor:
    """Inputs of the speech LM (R, L, D) from hidden states (B, T, D_llm): speaker, then interleaved hidden states and
    units.

    Values after the end of a reply, where ``replies.mask`` is false, are finite and not used.
    """
    parts = [
        decoder.embed_speaker(replies.speakers)[:, None],
        decoder.embed_hidden_states(hidden.flatten(0, 1)[replies.hidden_index]),
        decoder.embed_units(replies.speech_ids),
    ]
    sources = torch.cat(parts, dim=1)  # (R, 1 + H + U, D)
    return sources.gather(1, replies.order[..., None].expand(-1, -1, sources.shape[2]))


def _cross_entropy_sum(hidden: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """Cross entropy of each label at the position before it; the head runs only for positions with labels."""
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = head(hidden[:, :-1][learned]).float()  # (labels, V)
    return functional.cross_entropy(logits, targets[learned], reduction="sum")
