"""Engines with random small models."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from hypothesis import strategies as st
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.models.seeding import seeded

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    heads: tuple[int, int]  # of queries, and of keys and values
    head_dim: int
    layers: int
    tied: bool
    interleave: Interleave
    kernels: tuple[int, ...]  # of the adapter
    seed: int


SIZES = st.builds(
    Sizes,
    heads=st.sampled_from([(1, 1), (2, 1), (2, 2), (6, 2), (3, 1)]),
    head_dim=st.sampled_from([4, 8, 16]),
    layers=st.integers(1, 2),
    tied=st.booleans(),
    interleave=st.builds(Interleave, st.integers(1, 5), st.integers(1, 9)),
    kernels=st.sampled_from([(5, 5), (3,), (5, 3, 3)]),
    seed=st.integers(0, 9),
)


SMALL = Sizes(heads=(2, 1), head_dim=8, layers=2, tied=False, interleave=Interleave(4, 8), kernels=(5, 5), seed=0)
SETTINGS = st.builds(
    LMSettings, context=st.just(300), prefill_tokens=st.sampled_from([3, 7, 64, 256]), fixed_width=st.booleans()
)


def random_engines(
    directory: Path,
    sizes: Sizes,
    *,
    capacity: int = 1,
    settings: LMSettings | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[ThinkerEngine, SpeechDecoderEngine]:
    """With the tokenizers, vocabulary sizes and audio encoder's sizes of an OpenS2S directory."""
    vocabulary, config = read_vocabulary(directory), read_config(directory)
    config = replace(
        config,
        llm=_transformer(config.llm, sizes, width=24),
        speech_decoder=_transformer(config.speech_decoder, sizes, width=20),
        adapter_kernel_sizes=sizes.kernels,
        interleave=sizes.interleave,
    )
    with seeded(sizes.seed):  # defaults for values not sampled below
        model = _at_random(OpenS2S(config), sizes.seed).to(dtype)
    return (
        ThinkerEngine(model.thinker, vocabulary, capacity=capacity, settings=settings),
        SpeechDecoderEngine(model.speech_decoder, vocabulary.units, capacity=capacity, settings=settings),
    )


def random_lm(sizes: Sizes, dtype: torch.dtype = torch.float32) -> Qwen3ForCausalLM:
    """A language model alone, of 50 tokens."""
    like = Qwen3Config(vocab_size=50, max_position_embeddings=512)
    return _at_random(Qwen3ForCausalLM(_transformer(like, sizes, width=24)), sizes.seed).to(dtype)


def _at_random(model: Model, seed: int) -> Model:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.4, generator=generator)
    return model.eval()


def _transformer(like: Qwen3Config, sizes: Sizes, width: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=like.vocab_size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads[0],
        num_key_value_heads=sizes.heads[1],
        head_dim=sizes.head_dim,
        max_position_embeddings=like.max_position_embeddings,
        tie_word_embeddings=sizes.tied,
    )
