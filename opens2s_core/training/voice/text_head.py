"""The head of the speech tokenizer in training, which predicts text and log-mel from the quantised vectors.

The published tokenizer puts its quantiser inside a speech recogniser (CosyVoice, arXiv 2407.05407, section 2.1;
GLM-4-Voice, arXiv 2412.02612, section 2.1). This one is a small encoder with CTC on characters.
"""
# B utterances, N units, T = N * pool encoder frames, F = 2 T log-mel frames, D width, C characters

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torchaudio.functional
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from opens2s_core.config import SpeechTokenizerConfig
from opens2s_core.models.speech_tokenizer import CONV_STRIDE

BLANK = 0


def spoken_characters(text: str) -> str:
    """Lower-case letters, digits and apostrophes, words separated by single spaces."""
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in plain).split())


class Alphabet:
    """The characters of a set of texts; ids start after the blank."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.characters = sorted({character for text in texts for character in spoken_characters(text)})
        self._ids = {character: index for index, character in enumerate(self.characters, start=BLANK + 1)}

    def encode(self, text: str) -> list[int]:
        """Ids of the characters; unknown ones are omitted."""
        return [self._ids[character] for character in spoken_characters(text) if character in self._ids]

    def decode(self, path: Sequence[int]) -> str:
        """The text of a CTC path: repeats joined, blanks removed."""
        kept = [now for before, now in pairwise([BLANK, *path]) if now not in (before, BLANK)]
        return "".join(self.characters[index - BLANK - 1] for index in kept)


class TextHead(nn.Module):
    """Quantised vectors → characters and log-mel, with attention over all positions."""

    def __init__(self, config: SpeechTokenizerConfig, characters: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self._pool, width = config.pooling_kernel_size, config.d_model
        whisper = WhisperConfig(
            d_model=width,
            encoder_attention_heads=config.encoder_attention_heads,
            encoder_ffn_dim=config.encoder_ffn_dim,
            dropout=dropout,
            activation_function="gelu",
        )
        whisper._attn_implementation = "sdpa"
        self.layers = nn.ModuleList(WhisperEncoderLayer(whisper) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.upsample = nn.Sequential(nn.Linear(width, self._pool * width), nn.GELU())
        self.text = nn.Linear(width, BLANK + 1 + characters)
        self.mel = nn.Linear(width, CONV_STRIDE * config.num_mel_bins)

    def forward(self, quantised: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised (B, N, D) with validity (B, N) → logits (B, T, 1 + C) and log-mel (B, F, mel)."""
        hidden = quantised
        visible = valid[:, None, None, :].expand(-1, -1, hidden.shape[1], -1)  # (B, 1, N, N)
        for layer in self.layers:  # before upsampling, where it is cheaper
            hidden = layer(hidden, visible)
        hidden = self.upsample(self.norm(hidden)).unflatten(-1, (self._pool, -1)).flatten(1, 2)  # (B, T, D)
        return self.text(hidden), self.mel(hidden).unflatten(-1, (CONV_STRIDE, -1)).flatten(1, 2)


def character_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Edit distance from the hypothesis to the reference, and the number of characters of the reference."""
    truth = spoken_characters(reference)
    return torchaudio.functional.edit_distance(truth, hypothesis), len(truth)
