"""Creates a bundle for training from scratch: language models with random weights, a new tokenizer, and a given voice.

The architecture is the published one, at any size.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2AudioEncoderConfig,
    Qwen3Config,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import sinusoids

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.checkpoint.opens2s import save_opens2s
from opens2s_core.models.audio_encoder import AudioPadding
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from opens2s_core.models.seeding import seeded
from opens2s_core.prompt import SPEAKER_DIM, SPEECH_TOKENS, THINK_TOKENS, TURN_END, TURN_START
from opens2s_core.training.tokens import add_tokens, add_unit_tokens

_PAD = "<|endoftext|>"

# The pre-tokenization of Qwen's tokenizers.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerSize:
    """Size of a transformer. Language models also have ``key_heads``, the heads of keys and values (None: half of the
    heads), and ``tied``, whether embeddings and head share weights."""

    width: int
    layers: int
    heads: int
    ffn: int
    key_heads: int | None = None
    tied: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ScratchConfig:
    """Sizes of the models; the number of speech units is that of the voice."""

    audio_encoder: TransformerSize
    llm: TransformerSize
    speech_decoder: TransformerSize
    text_vocabulary: int = 512
    context: int = 4096
    adapter_inner_dim: int = 64
    interleave: Interleave = field(default_factory=Interleave)
    audio_padding: AudioPadding = "masked"
    mel_bins: int = 128  # of the audio encoder's input
    speaker_dim: int = SPEAKER_DIM
    units_temperature: float = 1.0  # for sampling units in serving
    seed: int = 0


def create_bundle(config: ScratchConfig, texts: Iterable[str], voice: Path, directory: str | Path) -> None:
    """Write a bundle into ``directory``; the directory ``voice`` has its ``speech_tokenizer/`` and ``token2wav/``."""
    bundle = Path(directory)
    units = codebook_sizes(voice)[SPEECH_TOKENIZER]
    with seeded(config.seed):
        _create_opens2s(config, units, train_text_tokenizer(texts, config.text_vocabulary), bundle / OPENS2S)
    for part in (SPEECH_TOKENIZER, TOKEN2WAV):
        shutil.copytree(voice / part, bundle / part)


def train_text_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE as in Qwen, with at most ``vocabulary`` tokens followed by the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=_PAD,
        clean_up_tokenization_spaces=False,
    )
    add_tokens(wrapped, (_PAD, TURN_START, TURN_END), special=True)
    add_tokens(wrapped, THINK_TOKENS, special=False)
    return wrapped


def _create_opens2s(config: ScratchConfig, units: int, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    tokenizer.save_pretrained(path / "tts")  # the speech decoder shares the text tokens, not the audio tokens
    speech = PreTrainedTokenizerFast.from_pretrained(str(path / "tts"))
    add_unit_tokens(speech, units)
    add_tokens(tokenizer, SPEECH_TOKENS, special=True)
    for owner, where in ((tokenizer, path), (speech, path / "tts")):
        owner.save_pretrained(where)
        ends = [owner.convert_tokens_to_ids(token) for token in (TURN_END, _PAD)]
        GenerationConfig(eos_token_id=ends, pad_token_id=ends[1]).save_pretrained(where)
    WhisperFeatureExtractor(feature_size=config.mel_bins, sampling_rate=SAMPLE_RATE).save_pretrained(path / "audio")
    model = OpenS2S(opens2s_config(config, len(tokenizer), len(speech)))
    positions = model.thinker.audio_encoder_model.embed_positions
    positions.weight.data.copy_(sinusoids(*positions.weight.shape))
    save_opens2s(model, path)


def opens2s_config(config: ScratchConfig, text_tokens: int, speech_tokens: int) -> OpenS2SConfig:
    """The configuration of models of these sizes, with the vocabulary sizes of LLM and speech decoder."""
    size = config.audio_encoder
    return OpenS2SConfig(
        audio_encoder=Qwen2AudioEncoderConfig(
            num_mel_bins=config.mel_bins,
            d_model=size.width,
            encoder_layers=size.layers,
            encoder_attention_heads=size.heads,
            encoder_ffn_dim=size.ffn,
        ),
        llm=_qwen3(config.llm, text_tokens, config.context),
        speech_decoder=_qwen3(config.speech_decoder, speech_tokens, config.context),
        adapter_inner_dim=config.adapter_inner_dim,
        interleave=config.interleave,
        audio_padding=config.audio_padding,
        prompt_style="training",
        units_temperature=config.units_temperature,
        speaker_dim=config.speaker_dim,
    )


def _qwen3(size: TransformerSize, vocabulary: int, context: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=size.width,
        intermediate_size=size.ffn,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads or max(size.heads // 2, 1),
        head_dim=size.width // size.heads,
        max_position_embeddings=context,
        tie_word_embeddings=size.tied,
    )
