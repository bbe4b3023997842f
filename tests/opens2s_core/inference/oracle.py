"""One greedy reply by the engines of thinker and speech decoder, and by the slow generator."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, TextDelta, Units
from opens2s_core.inference.reference import generate_text, generate_units
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.speech_decoder import UnitVocabulary
from opens2s_core.models.thinker import expand_audio_slots


@dataclass(frozen=True, slots=True)
class GreedyOutput:
    text: str
    tokens: int  # of the text, the end token included
    units: list[int]  # codebook ids


def prompt_embeddings(engine: ThinkerEngine, request: ReplyRequest) -> Tensor:
    """(T, D)"""
    model = engine.model
    prompt = engine.prompts.prompt(request.messages, speak=request.speak)
    with torch.no_grad():
        # One clip at a time: the embedding of a clip does not depend on others.
        audio = [model.embed_audio(model.audio_features([clip]))[0] for clip in prompt.audios]
        expanded = expand_audio_slots(prompt.input_ids, [len(clip) for clip in audio])
        return model.embed_prompt(torch.tensor([expanded]), audio)[0]


def teacher_forced(engine: ThinkerEngine, request: ReplyRequest, ids: Sequence[int]) -> NDArray[np.float32]:
    """The hidden states (n, D) that predict the tokens, by one plain forward."""
    llm, prompt = engine.model.llm_model, prompt_embeddings(engine, request)
    with torch.no_grad():
        embeddings = torch.cat([prompt, llm.get_input_embeddings()(torch.tensor(ids[:-1]))])
        hidden_states = llm.model(inputs_embeds=embeddings[None], use_cache=False).last_hidden_state[0]
        return hidden_states[len(prompt) - 1 :].numpy()


def close(hidden_states: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Check that hidden states (n, D) are equal up to rounding."""
    np.testing.assert_allclose(hidden_states, expected, atol=1e-5, rtol=1e-5)


def choices(vocabulary: UnitVocabulary) -> Collection[int]:
    """The ids that the engine samples: units and end units."""
    return [*range(vocabulary.offset, vocabulary.offset + vocabulary.size), *vocabulary.end_ids]


def by_oracle(thinker: ThinkerEngine, decoder: SpeechDecoderEngine, request: ReplyRequest) -> GreedyOutput:
    prompt, vocabulary = prompt_embeddings(thinker, request), decoder.vocabulary
    ends = thinker.vocabulary.text_end_ids
    ids, hidden_states = generate_text(thinker.model, prompt, end_ids=ends, max_tokens=request.text.max_tokens)
    text = str(thinker.vocabulary.tokenizer.decode(list(ids), skip_special_tokens=True))
    if not request.speak:
        return GreedyOutput(text, len(ids), [])
    spoken, _ = generate_units(
        decoder.model,
        hidden_states,
        end_ids=vocabulary.end_ids,
        max_units=request.units.max_tokens,
        speaker=None if request.speaker is None else torch.from_numpy(request.speaker),
        choices=choices(vocabulary),
    )
    return GreedyOutput(text, len(ids), [unit - vocabulary.offset for unit in spoken if unit not in vocabulary.end_ids])


def by_engines(thinker: ThinkerEngine, decoder: SpeechDecoderEngine, request: ReplyRequest) -> GreedyOutput:
    text, tokens, units = "", 0, list[int]()
    thinking, speaking = thinker.open(request), decoder.open(request)
    while thinker.step() | decoder.step():
        for message in [*thinker.chunks(thinking), *decoder.chunks(speaking)]:
            match message:
                case TextDelta(delta):
                    text += delta
                case HiddenStates():
                    decoder.push(speaking, message)
                case Units(ids, _):
                    units += ids.tolist()
                case Finish():
                    tokens = message.completion_tokens
    thinker.close(thinking)
    decoder.close(speaking)
    return GreedyOutput(text, tokens, units)
