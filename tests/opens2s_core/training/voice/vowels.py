"""A speech corpus of synthetic vowels of known pitch, and tiny models trained on it."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from opens2s_core.audio import SAMPLE_RATE, Waveform, encode_audio
from opens2s_core.checkpoint.speech_tokenizer import save_speech_tokenizer
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
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.training.voice.corpus import SpeechCorpus, Utterance, write_manifest

RATE = 22_050
CODES = 32
MODEL = Token2WavConfig(
    flow=FlowConfig(
        input_size=16,
        vocab_size=CODES,
        spk_embed_dim=8,
        encoder=FlowEncoderConfig(input_size=16, output_size=16, attention_heads=2, linear_units=32, num_blocks=1),
        decoder=FlowDecoderConfig(
            estimator=EstimatorConfig(
                channels=(32, 32), attention_head_dim=8, n_blocks=1, num_mid_blocks=1, num_heads=2
            )
        ),
    ),
    hift=VocoderConfig(
        base_channels=32,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
        source_resblock_kernel_sizes=(3, 3),
        source_resblock_dilation_sizes=((1,), (1,)),
        f0_predictor=F0PredictorConfig(cond_channels=32),
    ),
    trained=False,
)


def glide(seconds: float, start: float, end: float) -> NDArray[np.float64]:
    """Hz of each sample."""
    return np.linspace(start, end, round(seconds * RATE))


def vowel(hertz: NDArray[np.float64], formant: float = 700.0) -> Waveform:
    """Harmonics of the pitch (n,), strongest around the formant, that swell and fade."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    harmonics = (np.exp(-(((k * hertz - formant) / 500) ** 2)) * np.sin(k * phase) for k in range(1, 20))
    swell = np.minimum(1, 8 * np.sin(np.pi * np.arange(len(hertz)) / len(hertz)))
    return (0.15 * swell * sum(harmonics)).astype(np.float32)


def write_vowels(directory: Path, *, voices: tuple[str, ...] = ("flite:slt",), each: int = 2) -> Path:
    """``each`` utterances of 1 s and more of every voice to train on, one held out."""
    (directory / "audio").mkdir(parents=True)
    rows = []
    for number, voice in enumerate(voices):
        for item in range(each + 1):
            pitch = glide(1.0 + 0.13 * item, 150 + 40 * number, 190 + 40 * number)
            waveform = vowel(pitch, formant=600 + 150 * item)
            file = f"audio/{voice}-{item}.flac"
            (directory / file).write_bytes(encode_audio(waveform, RATE))
            split = "train" if item < each else "held_out"
            rows.append(
                Utterance(
                    id=f"{voice}-{item}",
                    file=file,
                    text="ah",
                    voice=voice,
                    emotion="neutral",
                    split=split,
                    samples=len(waveform),
                    rate=RATE,
                )
            )
    write_manifest(directory, rows)
    return directory


def write_tokenizer(corpus: SpeechCorpus, directory: Path) -> Path:
    """A speech tokenizer of random weights whose codes are vectors of the corpus."""
    config = SpeechTokenizerConfig(
        d_model=16,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        num_mel_bins=20,
        max_source_positions=500,
        quantize_position=1,
        pooling_position=1,
        quantize_vocab_size=CODES,
        quantize_ema_decay=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SpeechTokenizer(config).eval()
        vectors = torch.cat(model.pooled([corpus.waveform(i, SAMPLE_RATE) for i in range(len(corpus))]))
        model.codebook.weight.data.copy_(vectors[torch.randint(len(vectors), (CODES,))])
    save_speech_tokenizer(model, config, directory)
    return directory
