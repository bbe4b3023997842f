"""Speech → units: a Whisper encoder, average pooling and vector quantisation, 12.5 units a second.

B segments, F log-mel frames (100 a second), T = F / 2 encoder frames, N = T / pool units, D = d_model.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from opens2s_core.audio import HOP, SAMPLE_RATE, SEGMENT_SECONDS, Waveform, log_mel
from opens2s_core.config import ConfigError, SpeechTokenizerConfig

SEGMENT_SAMPLES = SEGMENT_SECONDS * SAMPLE_RATE
CONV_STRIDE = 2
SEGMENTS_PER_BATCH = 16
"""Limits memory."""


class SpeechTokenizer(nn.Module):
    """Waveforms → unit ids (encoder half of the GLM-4-Voice speech tokenizer).

    If the codebook is learned by moving averages (``quantize_ema_decay``), its state is ``ema_count`` (K,), the usage
    of each code, and ``ema_weight`` (K, D), the sum of the vectors assigned to it.
    """

    ema_count: Tensor
    ema_weight: Tensor

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        if config.pooling_position > config.quantize_position:
            raise ConfigError(
                f"pooling_position {config.pooling_position} must not come after "
                f"quantize_position {config.quantize_position}"
            )
        self.config = config
        width, pool = config.d_model, config.pooling_kernel_size
        padding = 0 if config.encoder_causal_convolution else 1
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=padding)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=CONV_STRIDE, padding=padding)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        whisper = _whisper_config(config)
        self.layers = nn.ModuleList(WhisperEncoderLayer(whisper) for _ in range(config.quantize_position))
        self.codebook = nn.Embedding(config.quantize_vocab_size, width)
        self.embed_positions2 = nn.Embedding(-(-config.max_source_positions // pool), width)
        if config.quantize_ema_decay is not None:
            self.register_buffer("ema_count", torch.ones(config.quantize_vocab_size))
            self.register_buffer("ema_weight", self.codebook.weight.detach().clone())

    @property
    def samples_per_unit(self) -> int:
        return HOP * CONV_STRIDE * self.config.pooling_kernel_size

    @torch.no_grad()
    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        """Unit ids of each 16 kHz waveform: ceil(samples / 1280) per 30 s segment, concatenated."""
        return [self.quantise(vectors).tolist() for vectors in self.pooled(waveforms)]

    @torch.no_grad()
    def pooled(self, waveforms: Sequence[Waveform]) -> list[Tensor]:
        """The vectors (n, d_model) of each 16 kHz waveform before quantisation."""
        segments = [segment for waveform in waveforms for segment in _segments(waveform)]
        vectors: list[Tensor] = []
        for start in range(0, len(segments), SEGMENTS_PER_BATCH):
            batch = segments[start : start + SEGMENTS_PER_BATCH]
            features, mask = self.features(batch)
            kept = [-(-len(segment) // self.samples_per_unit) for segment in batch]
            vectors.extend(row[:n] for row, n in zip(self(features, mask), kept, strict=True))
        remaining = iter(vectors)
        empty = self.codebook.weight.new_zeros(0, self.config.d_model)
        return [torch.cat([empty, *(next(remaining) for _ in _segments(waveform))]) for waveform in waveforms]

    def features(self, segments: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Log-mel (B, mel, F) and validity (B, F) of segments of at most 30 s.

        The samples of a segment are padded to whole units, its features to the longest segment of the batch, so that
        units do not depend on other segments. Symmetric convolutions read a frame after the end of a segment, which is
        silence in the published code if the batch is longer: for them the samples are padded to the longest segment,
        and the last unit may depend on the batch, as in the published code.
        """
        device, unit = self.codebook.weight.device, self.samples_per_unit
        padded = [len(segment) + -len(segment) % unit for segment in segments]
        mels = []
        for segment, own in zip(segments, padded, strict=True):
            length = own if self.config.encoder_causal_convolution else max(padded)
            samples = functional.pad(torch.from_numpy(segment).to(device), (0, length - len(segment)))
            mels.append(log_mel(samples, self.config.num_mel_bins))
        features = nn.utils.rnn.pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2)
        frames = torch.tensor([-(-len(segment) // HOP) for segment in segments], device=device)
        return features, torch.arange(features.shape[2], device=device) < frames[:, None]

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Log-mel (B, mel, F) with validity (B, F), F a multiple of 2 x pool → (B, N, D) before quantisation."""
        hidden = self.convolve(features)
        mask, block = mask[:, ::CONV_STRIDE].bool(), self.config.quantize_causal_block_size
        visible = visible_keys(mask, block)
        for position, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden, visible)
            if position == self.config.pooling_position:
                pool = self.config.pooling_kernel_size
                hidden = functional.avg_pool1d(hidden.transpose(1, 2), pool).transpose(1, 2)  # (B, N, D)
                visible = visible_keys(mask[:, ::pool], block // pool)
        return hidden

    def convolve(self, features: Tensor) -> Tensor:
        """Both convolutions with GELU, and the first position embeddings: (B, mel, F) → (B, T, D)."""
        hidden = features.to(self.conv1.weight.dtype)
        for conv in (self.conv1, self.conv2):
            if self.config.encoder_causal_convolution:
                hidden = functional.pad(hidden, (2, 0))
            hidden = functional.gelu(conv(hidden))
        hidden = hidden.transpose(1, 2)  # (B, T, D)
        return hidden + self.embed_positions.weight[: hidden.shape[1]]

    def quantise(self, vectors: Tensor) -> Tensor:
        """Ids (..., N) of the nearest codes to vectors (..., N, D), the lowest id on ties."""
        codes = self.codebook.weight
        distance = codes.square().sum(-1) - 2 * vectors @ codes.T  # the norm of the vectors does not change the order
        return distance.argmin(-1)

    def embed(self, ids: Tensor) -> Tensor:
        """The vectors after quantisation: ids (B, N) → codes plus position embeddings (B, N, D)."""
        return self.codebook(ids) + self.embed_positions2.weight[: ids.shape[1]]


def visible_keys(valid: Tensor, block: int) -> Tensor:
    """Bool (B, 1, T, T): key j is visible to query i if it is not later or in the same block, and valid (B, T)."""
    index = torch.arange(valid.shape[1], device=valid.device)
    near = (index[None, :] <= index[:, None]) | (index[None, :] // block == index[:, None] // block)
    return near & valid[:, None, None, :]


def _segments(waveform: Waveform) -> Iterator[Waveform]:
    return (waveform[start : start + SEGMENT_SAMPLES] for start in range(0, len(waveform), SEGMENT_SAMPLES))


def _whisper_config(config: SpeechTokenizerConfig) -> WhisperConfig:
    whisper = WhisperConfig(
        d_model=config.d_model,
        encoder_attention_heads=config.encoder_attention_heads,
        encoder_ffn_dim=config.encoder_ffn_dim,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="gelu",
    )
    whisper._attn_implementation = "sdpa"
    return whisper
