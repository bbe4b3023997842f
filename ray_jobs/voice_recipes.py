"""Voices in three sizes: their models and how each is trained. Needs the core alone, as a bare GPU machine has it."""

from collections.abc import Callable

from opens2s_core.config import (
    EstimatorConfig,
    F0PredictorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    FlowMatchingConfig,
    SpeechTokenizerConfig,
    Token2WavConfig,
    VocoderConfig,
)
from opens2s_core.training.voice.discriminators import DiscriminatorsConfig
from opens2s_core.training.voice.flow_stage import FlowStageConfig
from opens2s_core.training.voice.make import VoiceConfig
from opens2s_core.training.voice.tokenizer_stage import TokenizerStageConfig
from opens2s_core.training.voice.vocoder_stage import VocoderStageConfig


def voice_tiny() -> VoiceConfig:
    """A small voice from nothing in little more than an hour on two cores: 5.0 M numbers, 10.0 MB in half precision."""
    return VoiceConfig(
        speech_tokenizer=SpeechTokenizerConfig(
            d_model=160,
            encoder_attention_heads=4,
            encoder_ffn_dim=384,
            num_mel_bins=80,
            quantize_causal_block_size=40,
            # Layers behind the pooling put more of a unit's 80 ms into its code, and cost a quarter.
            quantize_position=4,
            pooling_position=1,
            quantize_vocab_size=2048,
            quantize_ema_decay=0.99,
        ),
        token2wav=_decoder(
            codes=2048, embedding=64, width=192, ffn=384, blocks=3, estimator=(96,), mid_blocks=1, vocoder=128
        ),
        # Many steps on few sounds each: in the same time all three learn far more than from few steps on many.
        tokenizer_stage=TokenizerStageConfig(
            steps=14_000,
            checkpoint_every=500,
            learning_rate=1.5e-3,
            bf16=True,
            batch_units=320,
            head_layers=3,
            quantised_from=1000,
            mel_weight=10.0,
        ),
        flow_stage=FlowStageConfig(
            steps=16_000, checkpoint_every=500, learning_rate=1.5e-3, bf16=True, batch_units=160
        ),
        vocoder_stage=VocoderStageConfig(
            steps=8000,
            checkpoint_every=500,
            bf16=True,
            batch=8,
        ),
        half_precision=True,
    )


def voice_smoke() -> VoiceConfig:
    """The same stages at the size of a test: seconds, and hardly anything learned."""
    config = VoiceConfig(
        speech_tokenizer=SpeechTokenizerConfig(
            d_model=32,
            encoder_attention_heads=2,
            encoder_ffn_dim=64,
            num_mel_bins=40,
            quantize_causal_block_size=40,
            quantize_position=1,
            pooling_position=1,
            quantize_vocab_size=32,
            quantize_ema_decay=0.9,
        ),
        token2wav=_decoder(
            codes=32, embedding=16, width=32, ffn=64, blocks=1, estimator=(32,), mid_blocks=1, vocoder=32
        ),
        tokenizer_stage=TokenizerStageConfig(
            steps=12,
            checkpoint_every=4,
            warmup_steps=2,
            batch_units=100,
            head_layers=1,
            quantised_from=3,
            validate_every=6,
        ),
        flow_stage=FlowStageConfig(
            steps=6,
            checkpoint_every=4,
            warmup_steps=2,
            window_units=(8, 20),
            batch_units=40,
            validate_every=3,
        ),
        vocoder_stage=VocoderStageConfig(
            steps=6,
            checkpoint_every=4,
            warmup_steps=2,
            batch=2,
            frames=16,
            stft_sizes=(512, 256),
            adversarial_from=3,
            discriminators=DiscriminatorsConfig(
                periods=(2, 3), period_channels=(4, 8), resolutions=((256, 64, 256),), resolution_channels=4
            ),
        ),
    )
    return config.with_voice("espeak:en-us+f2")  # an embedded one: tests need no other


def voice_full() -> VoiceConfig:
    """The published sizes, for hundreds of hours of recorded speech and one large GPU."""
    return VoiceConfig(
        speech_tokenizer=SpeechTokenizerConfig(),
        token2wav=Token2WavConfig(),
        tokenizer_stage=TokenizerStageConfig(
            steps=200_000,
            checkpoint_every=2000,
            learning_rate=1e-4,
            warmup_steps=2000,
            ema_decay=0.999,
            bf16=True,
            batch_units=6000,
            head_layers=16,
            quantised_from=2000,
            restart_every=100,
            validate_every=2000,
        ),
        flow_stage=FlowStageConfig(
            steps=300_000,
            checkpoint_every=2000,
            learning_rate=1e-4,
            warmup_steps=2000,
            ema_decay=0.9999,
            bf16=True,
            batch_units=3000,
            validate_every=2000,
        ),
        vocoder_stage=VocoderStageConfig(
            steps=500_000,
            checkpoint_every=2000,
            learning_rate=2e-4,
            warmup_steps=2000,
            ema_decay=0.999,
            bf16=True,
            batch=64,
            adversarial_from=20_000,
            teacher_steps=50_000,
        ),
    )


VOICES: dict[str, Callable[[], VoiceConfig]] = {"smoke": voice_smoke, "tiny": voice_tiny, "gpu": voice_full}
"""By size."""


def _decoder(
    *,
    codes: int,
    embedding: int,
    width: int,
    ffn: int,
    blocks: int,
    estimator: tuple[int, ...],
    mid_blocks: int,
    vocoder: int,
) -> Token2WavConfig:
    heads = 4
    return Token2WavConfig(
        flow=FlowConfig(
            input_size=embedding,
            vocab_size=codes,
            encoder=FlowEncoderConfig(
                input_size=embedding,
                output_size=width,
                attention_heads=heads,
                linear_units=ffn,
                num_blocks=blocks,
                # So small a model learns less than there is to learn, never too much of it.
                dropout_rate=0.0,
                positional_dropout_rate=0.0,
                attention_dropout_rate=0.0,
            ),
            decoder=FlowDecoderConfig(
                # Chosen on sentences of training, by word error: less noise and more guidance than published.
                cfm_params=FlowMatchingConfig(inference_cfg_rate=1.0, temperature=0.5),
                estimator=EstimatorConfig(
                    channels=estimator,
                    attention_head_dim=estimator[0] // heads,
                    n_blocks=1,
                    num_mid_blocks=mid_blocks,
                    num_heads=heads,
                ),
            ),
        ),
        hift=VocoderConfig(
            base_channels=vocoder,
            resblock_kernel_sizes=(3, 7, 11),
            resblock_dilation_sizes=((1,), (1, 3), (1, 3)),  # fewer than published: 0.7 of the time
            f0_predictor=F0PredictorConfig(cond_channels=3 * vocoder // 8),
        ),
    )
