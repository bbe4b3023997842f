"""A slow, obvious greedy generator: the oracle for everything faster.

No cache and batch 1: every token is the likeliest after one whole pass over all that precedes it. The rounds are those
of the published loop (README of the published models' golden data, section g).
"""
# T prompt positions, n text tokens, D_llm and D widths of the LLM and of the speech decoder

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.models.speech_decoder import SpeechDecoder, SpeechLM
from opens2s_core.models.thinker import Thinker

Ids = int | Sequence[int]
"""One id or some."""


@dataclass(frozen=True, slots=True)
class GreedyReply:
    """What was generated, the ids that ended it included."""

    text_ids: tuple[int, ...]
    unit_ids: tuple[int, ...]  # of the speech decoder's vocabulary, the end units of all rounds included
    hiddens: Tensor  # (n, D) what the speech decoder read: the projected hidden state that predicted each text id


@torch.no_grad()
def reply(
    model: OpenS2S,
    prompt: Tensor,
    *,
    text_end_ids: Ids,
    unit_end_ids: Ids,
    max_text: int,
    max_units: int,
    speaker: Tensor | None = None,
    choices: Collection[int] | None = None,
    interleave: Interleave | None = None,
) -> GreedyReply:
    """A spoken reply to the embeddings ``prompt`` (T, D_llm); see :func:`write` and :func:`speak`.

    When the units run out before the text is finished, the text is cut after the group that was not spoken.
    """
    text_ids, hiddens = write(model.thinker, prompt, end_ids=text_end_ids, max_tokens=max_text)
    unit_ids, groups = speak(
        model.speech_decoder,
        hiddens,
        end_ids=unit_end_ids,
        max_units=max_units,
        speaker=speaker,
        choices=choices,
        interleave=interleave,
    )
    read = groups * (interleave or model.config.interleave).hiddens
    return GreedyReply(text_ids[:read], unit_ids, model.speech_decoder.embed_hiddens(hiddens[:read]))


@torch.no_grad()
def write(thinker: Thinker, prompt: Tensor, *, end_ids: Ids, max_tokens: int) -> tuple[tuple[int, ...], Tensor]:
    """Text ids up to the first end id or the budget, and the LLM hidden state that predicted each, (n, D_llm)."""
    llm, ends, sequence = thinker.llm_model, _several(end_ids), prompt
    ids: list[int] = []
    hiddens: list[Tensor] = []
    while len(ids) < max_tokens and not ends.intersection(ids):
        hidden = llm.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0, -1]
        hiddens.append(hidden)
        ids.append(int(llm.lm_head(hidden).argmax()))
        sequence = torch.cat([sequence, llm.get_input_embeddings()(torch.tensor(ids[-1:], device=prompt.device))])
    return tuple(ids), torch.stack(hiddens)


@torch.no_grad()
def speak(
    decoder: SpeechDecoder,
    hiddens: Tensor,
    *,
    end_ids: Ids,
    max_units: int,
    speaker: Tensor | None = None,
    choices: Collection[int] | None = None,
    interleave: Interleave | None = None,
) -> tuple[tuple[int, ...], int]:
    """Units for the LLM hidden states (n, D_llm) of a whole reply, and how many groups of M hidden states were read.

    Each group is followed by at most N units, the last one by all that are left; an end unit ends its round only.
    ``speaker`` (speaker_dim,) is honoured (None: the zero vector). ``choices`` are the ids that may be chosen (None:
    all).
    ``interleave`` replaces the checkpoint's M and N.
    """
    ratio, ends = interleave or decoder.config.interleave, _several(end_ids)
    sequence = decoder.no_speaker(1) if speaker is None else decoder.embed_speaker(speaker[None])  # (1, D)
    allowed = None if choices is None else torch.tensor(sorted(choices), device=hiddens.device)
    units: list[int] = []
    groups = hiddens.split(ratio.hiddens)
    for i, group in enumerate(groups, start=1):
        sequence = torch.cat([sequence, decoder.embed_hiddens(group)])
        left = max_units - len(units)
        if not left:
            return tuple(units), i
        for _ in range(left if i == len(groups) else min(ratio.units, left)):
            units.append(_likeliest(decoder.tts_lm_model, sequence, allowed))
            sequence = torch.cat([sequence, decoder.embed_units(torch.tensor(units[-1:], device=hiddens.device))])
            if units[-1] in ends:
                break
    return tuple(units), len(groups)


def _likeliest(lm: SpeechLM, sequence: Tensor, allowed: Tensor | None) -> int:
    logits = lm.lm_head(lm.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0, -1])
    return int(logits.argmax() if allowed is None else allowed[logits[allowed].argmax()])


def _several(ids: Ids) -> frozenset[int]:
    return frozenset([ids] if isinstance(ids, int) else ids)
