import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.config import SpeechTokenizerConfig
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.training.voice.codebook import dead_codes, perplexity, restart_codes, update_codebook

CODES, WIDTH, DECAY = 8, 4, 0.9


def tokenizer() -> SpeechTokenizer:
    return SpeechTokenizer(
        SpeechTokenizerConfig(
            d_model=WIDTH,
            encoder_attention_heads=1,
            encoder_ffn_dim=8,
            num_mel_bins=4,
            quantize_position=1,
            pooling_position=1,
            quantize_vocab_size=CODES,
            quantize_ema_decay=DECAY,
        )
    )


@given(seed=st.integers(0, 2**32 - 1), batches=st.integers(1, 5), size=st.integers(1, 40))
def test_codes_are_the_moving_averages_of_their_vectors(seed: int, batches: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    model = tokenizer()
    count, weight = model.ema_count.double().numpy(), model.ema_weight.double().numpy()
    for _ in range(batches):
        vectors, ids = rng.normal(size=(size, WIDTH)).astype(np.float32), rng.integers(CODES, size=size)
        update_codebook(model, torch.from_numpy(vectors), torch.from_numpy(ids))
        one_hot = np.eye(CODES)[ids]
        count = DECAY * count + (1 - DECAY) * one_hot.sum(0)
        weight = DECAY * weight + (1 - DECAY) * one_hot.T @ vectors
    smoothed = (count + 1e-5) / (count.sum() + CODES * 1e-5) * count.sum()
    np.testing.assert_allclose(model.ema_count, count, rtol=1e-5)
    np.testing.assert_allclose(model.ema_weight, weight, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.codebook.weight.detach(), weight / smoothed[:, None], rtol=1e-4, atol=1e-5)


def test_an_unused_code_dies_and_is_restarted_at_a_vector() -> None:
    model, generator = tokenizer(), torch.Generator().manual_seed(0)
    vectors = torch.randn(30, WIDTH, generator=generator)
    ids = torch.arange(30) % (CODES - 1)  # never the last one
    for _ in range(60):
        update_codebook(model, vectors, ids)
    dead = dead_codes(model, share=0.1)
    assert dead.tolist() == [False] * (CODES - 1) + [True]
    before = model.codebook.weight.detach().clone()
    restart_codes(model, dead, vectors, generator)
    restarted = model.codebook.weight.detach()
    assert torch.equal(restarted[:-1], before[:-1])
    assert bool((vectors == restarted[-1]).all(1).any())
    assert not dead_codes(model, share=0.1).any()
    torch.testing.assert_close(model.ema_weight[-1] / model.ema_count[-1], restarted[-1])


def test_more_codes_than_vectors_start_at_all_of_them() -> None:
    model, vectors = tokenizer(), torch.arange(3.0)[:, None].expand(-1, WIDTH)
    restart_codes(model, torch.ones(CODES, dtype=torch.bool), vectors, torch.Generator().manual_seed(0))
    places, counts = model.codebook.weight.detach()[:, 0].unique(return_counts=True)
    assert places.tolist() == [0, 1, 2]
    assert sorted(counts.tolist()) == [2, 3, 3]


@pytest.mark.parametrize("used", [1, 3, CODES])
def test_perplexity_of_equally_used_codes_is_their_number(used: int) -> None:
    model = tokenizer()
    model.ema_count.zero_()[:used] = 2.5
    assert perplexity(model) == pytest.approx(used, rel=1e-5)
