"""Untrained models for benchmarks of the engines: their output is noise, but their cost is that of trained ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from opens2s_core.audio import SAMPLE_RATE, Waveform
from opens2s_core.checkpoint.bundle import TOKEN2WAV
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.config import EstimatorConfig, FlowConfig, FlowDecoderConfig, FlowEncoderConfig, VocoderConfig
from opens2s_core.inference.messages import ReplyRequest, Sampling
from opens2s_core.models.flow import Flow
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.seeding import seeded
from opens2s_core.models.speech_decoder import UnitVocabulary
from opens2s_core.models.vocoder import Vocoder
from opens2s_core.prompt import SPEECH_TOKENS, Audio, Message, Text
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize, opens2s_config, train_text_tokenizer
from opens2s_core.training.tokens import add_tokens
from opens2s_core.voices import SLT

_QUESTION = "I had a long day and nothing went as it should. What would you do now?"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSize:
    """Sizes of the models. The voice is that of this package, or an untrained one of the published size."""

    models: ScratchConfig
    text_tokens: int  # in the vocabulary of the LLM
    speech_tokens: int  # in that of the speech decoder, units included
    units: int
    published_voice: bool = False


_SMALL_UNITS = 2048  # of the voice of this package
_SMALL_LM = TransformerSize(width=192, layers=3, heads=4, ffn=512)
SIZES: Mapping[str, EngineSize] = {
    # The size of the demo.
    "tiny": EngineSize(
        models=ScratchConfig(
            audio_encoder=TransformerSize(width=96, layers=2, heads=2, ffn=192),
            llm=_SMALL_LM,
            speech_decoder=_SMALL_LM,
            adapter_inner_dim=512,
        ),
        text_tokens=512,
        speech_tokens=2560,
        units=_SMALL_UNITS,
    ),
    # 34 M parameters: large enough that computation dominates the overhead of calls.
    "bench": EngineSize(
        models=ScratchConfig(
            audio_encoder=TransformerSize(width=256, layers=4, heads=4, ffn=512),
            llm=TransformerSize(width=512, layers=8, heads=8, ffn=1024),
            speech_decoder=TransformerSize(width=384, layers=6, heads=6, ffn=768),
            adapter_inner_dim=512,
        ),
        text_tokens=512,
        speech_tokens=2560,
        units=_SMALL_UNITS,
    ),
    # As published: Qwen2-Audio's encoder, Qwen3 8B and 1.7B.
    "full": EngineSize(
        models=ScratchConfig(
            audio_encoder=TransformerSize(width=1280, layers=32, heads=20, ffn=5120),
            llm=TransformerSize(width=4096, layers=36, heads=32, ffn=12288, key_heads=8, tied=False),
            speech_decoder=TransformerSize(width=2048, layers=28, heads=16, ffn=6144),
            adapter_inner_dim=512,
            audio_padding="full",
        ),
        text_tokens=151936,
        speech_tokens=168960,
        units=16384,
        published_voice=True,
    ),
}


@dataclass(frozen=True, slots=True)
class EngineModels:
    """Language models in ``dtype``, token2wav in float32, all on one device. No token ends a reply."""

    opens2s: OpenS2S
    vocabulary: Vocabulary
    flow: Flow
    vocoder: Vocoder


def create_models(size: EngineSize, *, device: str, dtype: torch.dtype) -> EngineModels:
    model, vocabulary = create_opens2s(size, device=device, dtype=dtype)
    with seeded(0), torch.device(device):
        if size.published_voice:
            flow, vocoder = Flow(FlowConfig()), Vocoder(VocoderConfig())
        else:
            flow, vocoder = load_token2wav(SLT / TOKEN2WAV, torch.float32)
    return EngineModels(model.eval(), vocabulary, flow.to(device).eval(), vocoder.to(device).eval())


def create_opens2s(size: EngineSize, *, device: str, dtype: torch.dtype) -> tuple[OpenS2S, Vocabulary]:
    """The language models and a vocabulary without ends."""
    tokenizer = train_text_tokenizer([_QUESTION], 300)
    add_tokens(tokenizer, SPEECH_TOKENS, special=True)
    config = opens2s_config(size.models, size.text_tokens, size.speech_tokens)
    with seeded(0), torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = OpenS2S(config)
        finally:
            torch.set_default_dtype(before)
    units = UnitVocabulary(size.speech_tokens - size.units, size.units, end_ids=())
    return model, Vocabulary(tokenizer=tokenizer, text_end_ids=(), pad_id=0, units=units)


def medium_flow() -> Flow:
    """16 M parameters, on the CPU: large enough that the estimator dominates the cost of token2wav."""
    encoder = FlowEncoderConfig(input_size=256, output_size=256, attention_heads=4, linear_units=1024, num_blocks=4)
    estimator = EstimatorConfig(channels=(128, 128), n_blocks=2, num_mid_blocks=4)
    with seeded(0):
        return Flow(FlowConfig(input_size=256, encoder=encoder, decoder=FlowDecoderConfig(estimator=estimator))).eval()


def question(seed: int, *, seconds: float = 3.0) -> Message:
    """A user message with audio of this length."""
    return Message("user", (Audio(noise(seed, seconds)), Text(_QUESTION)))


def noise(seed: int, seconds: float) -> Waveform:
    """Noise (n,) at 16 kHz."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def spoken_request(*messages: Message, tokens: int, units: int, seed: int = 0) -> ReplyRequest:
    """A request for a spoken reply of exactly this number of tokens and units."""
    return ReplyRequest(
        messages=messages, text=Sampling(max_tokens=tokens), units=Sampling(max_tokens=units), seed=seed
    )
