"""Fixtures that whole packages share: one local Ray, and a bundle of the real architecture at the smallest size."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from data_pipeline.synthesis.writers import ClosedDomainWriter
from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint import OPENS2S, load_opens2s, save_opens2s
from opens2s_core.config import (
    EstimatorConfig,
    F0PredictorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    SpeechTokenizerConfig,
    Token2WavConfig,
    VocoderConfig,
)
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize, create_bundle

CODES = 64
SMALL = TransformerSize(width=32, layers=1, heads=2, ffn=64)
TINY = ScratchConfig(
    audio_encoder=SMALL,
    llm=SMALL,
    speech_decoder=SMALL,
    speech_tokenizer=SpeechTokenizerConfig(
        d_model=32,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        num_mel_bins=80,
        quantize_position=1,
        pooling_position=1,
        quantize_vocab_size=CODES,
    ),
    token2wav=Token2WavConfig(
        flow=FlowConfig(
            input_size=32,
            vocab_size=CODES,
            encoder=FlowEncoderConfig(input_size=32, output_size=32, attention_heads=2, linear_units=64, num_blocks=1),
            decoder=FlowDecoderConfig(
                estimator=EstimatorConfig(
                    channels=(32, 32), n_blocks=1, num_mid_blocks=1, num_heads=2, attention_head_dim=16
                )
            ),
        ),
        hift=VocoderConfig(base_channels=32, f0_predictor=F0PredictorConfig(cond_channels=32)),
        trained=False,
    ),
)


@pytest.fixture(scope="session")
def ray_local() -> Iterator[str]:
    """A small Ray of this session's own; gives its address."""
    context = ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        logging_level=logging.WARNING,
    )
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle directory."""
    bundle = tmp_path_factory.mktemp("bundle")
    exchanges = ClosedDomainWriter().write(100, seed=0)
    texts = [text for exchange in exchanges for text in (exchange.user_text, exchange.reply_text)]
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * SAMPLE_RATE).astype(np.float32)
    create_bundle(TINY, texts, [noise], bundle)
    _stir(bundle / OPENS2S)
    return bundle


def _stir(directory: Path) -> None:
    """Larger random weights: a model fresh from its initialisation only ever repeats the last token."""
    model = load_opens2s(directory)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=generator)
    save_opens2s(model, directory)
