"""A slow, simple greedy generator: the oracle in tests of the engines.

No cache and batch size 1: every token is the argmax of one full forward over all previous ones. The rounds are those of
the published loop (README of the published models' golden data, section g).
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
"""One id or several."""


@dataclass(frozen=True, slots=True)
class GreedyReply:
    """The generated ids, including end ids."""

    text_ids: tuple[int, ...]
    unit_ids: tuple[int, ...]  # of the speech decoder's vocabulary, including the end units of all rounds
    hidden_states: Tensor  # (n, D), as the speech decoder reads them: the projected state that predicted each text id


@torch.no_grad()
def generate_reply(
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
    """A spoken reply to the embeddings ``prompt`` (T, D_llm); see :func:`generate_text` and :func:`generate_units`.

    If the unit budget is used up before the end of the text, the text is cut after the first group without units.
    """
    text_ids, hidden_states = generate_text(model.thinker, prompt, end_ids=text_end_ids, max_tokens=max_text)
    unit_ids, groups = generate_units(
        model.speech_decoder,
        hidden_states,
        end_ids=unit_end_ids,
        max_units=max_units,
        speaker=speaker,
        choices=choices,
        interleave=interleave,
    )
    read = groups * (interleave or model.config.interleave).hidden_states
    return GreedyReply(text_ids[:read], unit_ids, model.speech_decoder.embed_hidden_states(hidden_states[:read]))


@torch.no_grad()
def generate_text(thinker: Thinker, prompt: Tensor, *, end_ids: Ids, max_tokens: int) -> tuple[tuple[int, ...], Tensor]:
    """Text ids up to the first end id or the budget, and the LLM hidden states that predicted them, (n, D_llm)."""
    llm, ends, sequence = thinker.llm_model, _id_set(end_ids), prompt
    ids: list[int] = []
    hidden_states: list[Tensor] = []
    while len(ids) < max_tokens and not ends.intersection(ids):
        hidden = llm.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0, -1]
        hidden_states.append(hidden)
        ids.append(int(llm.lm_head(hidden).argmax()))
        sequence = torch.cat([sequence, llm.get_input_embeddings()(torch.tensor(ids[-1:], device=prompt.device))])
    return tuple(ids), torch.stack(hidden_states)


@torch.no_grad()
def generate_units(
    decoder: SpeechDecoder,
    hidden_states: Tensor,
    *,
    end_ids: Ids,
    max_units: int,
    speaker: Tensor | None = None,
    choices: Collection[int] | None = None,
    interleave: Interleave | None = None,
) -> tuple[tuple[int, ...], int]:
    """Units for the LLM hidden states (n, D_llm) of a whole reply, and the number of groups of M hidden states read.

    Each group is followed by at most N units, the last one by the rest of the budget; an end unit ends only its round.
    ``speaker`` is (speaker_dim,) (None: the zero vector). ``choices`` are the allowed ids (None: all). ``interleave``
    overrides M and N of the checkpoint.
    """
    ratio, ends = interleave or decoder.config.interleave, _id_set(end_ids)
    sequence = decoder.no_speaker(1) if speaker is None else decoder.embed_speaker(speaker[None])  # (1, D)
    allowed = None if choices is None else torch.tensor(sorted(choices), device=hidden_states.device)
    units: list[int] = []
    groups = hidden_states.split(ratio.hidden_states)
    for i, group in enumerate(groups, start=1):
        sequence = torch.cat([sequence, decoder.embed_hidden_states(group)])
        left = max_units - len(units)
        if not left:
            return tuple(units), i
        for _ in range(left if i == len(groups) else min(ratio.units, left)):
            units.append(_likeliest(decoder.tts_lm_model, sequence, allowed))
            sequence = torch.cat([sequence, decoder.embed_units(torch.tensor(units[-1:], device=hidden_states.device))])
            if units[-1] in ends:
                break
    return tuple(units), len(groups)


def _likeliest(lm: SpeechLM, sequence: Tensor, allowed: Tensor | None) -> int:
    logits = lm.lm_head(lm.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0, -1])
    return int(logits.argmax() if allowed is None else allowed[logits[allowed].argmax()])


def _id_set(ids: Ids) -> frozenset[int]:
    return frozenset([ids] if isinstance(ids, int) else ids)
