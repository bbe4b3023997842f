from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.config import SpeechTokenizerConfig
from opens2s_core.training.voice.text_head import BLANK, Alphabet, TextHead, character_errors, spoken_characters


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("It\N{RIGHT SINGLE QUOTATION MARK}s LATE -- good night!", "it's late good night"),
        ("Über 20 Äpfel", "über 20 äpfel"),
        ("  two\n words ", "two words"),
        ("?!", ""),
    ],
)
def test_spoken_characters(text: str, characters: str) -> None:
    assert spoken_characters(text) == characters


@given(text=st.text("abc d'", max_size=20), stay=st.integers(1, 3))
def test_a_ctc_path_of_a_text_is_read_back(text: str, stay: int) -> None:
    alphabet = Alphabet(["a b c d '"])
    path = list(chain.from_iterable([index] * stay + [BLANK] for index in alphabet.encode(text)))
    assert alphabet.decode(path) == spoken_characters(text)


def test_repeats_without_a_blank_are_one_character() -> None:
    alphabet = Alphabet(["abc"])
    assert alphabet.characters == ["a", "b", "c"]
    assert alphabet.decode([1, 1, 0, 0, 1, 2, 2]) == "aab"
    assert alphabet.encode("cab x") == [3, 1, 2]  # neither x nor spaces were seen


def test_character_errors_count_edits() -> None:
    assert character_errors("Good night!", "god nicht") == (2, 10)


def test_the_head_does_not_see_padding() -> None:
    config = SpeechTokenizerConfig(d_model=16, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=5)
    head = TextHead(config, 7, layers=2, dropout=0.1).eval()
    quantised = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(0))
    alone, mel = head(quantised[:, :4], torch.ones(1, 4, dtype=torch.bool))
    assert alone.shape == (1, 4 * 4, 1 + 7)
    assert mel.shape == (1, 4 * 8, 5)
    padded, padded_mel = head(quantised, torch.arange(6)[None] < 4)
    torch.testing.assert_close(padded[:, :16], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded_mel[:, :32], mel, atol=1e-5, rtol=0)
