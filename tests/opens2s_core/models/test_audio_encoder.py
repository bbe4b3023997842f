from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint import OPENS2S, load_thinker
from opens2s_core.models.adapter import adapter_frames
from opens2s_core.models.audio_encoder import AudioPadding, encoder_frames, extract_features, segment_lengths
from opens2s_core.models.thinker import Thinker


@pytest.fixture(scope="module")
def thinker(tiny_bundle: Path) -> Thinker:
    return load_thinker(tiny_bundle / OPENS2S)


def clip(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize(
    ("mel", "encoder", "llm"),
    [
        (3, 1, 1),
        (8, 2, 1),
        (100, 25, 7),
        (130, 32, 8),
        (3000, 750, 188),
        (3002, 750, 188),
        (3005, 751, 188),
        (3100, 775, 194),
        (6000, 1500, 375),
    ],
)
def test_rates_are_the_published_ones(mel: int, encoder: int, llm: int) -> None:
    frames = sum(encoder_frames(segment) for segment in segment_lengths(mel))
    assert (frames, adapter_frames(frames, 2)) == (encoder, llm)


@pytest.mark.parametrize("padding", ["full", "masked"])
@torch.no_grad()
def test_a_clip_does_not_hear_its_neighbours(thinker: Thinker, padding: AudioPadding) -> None:
    clips = [clip(7_000), clip(33_333, seed=1), clip(31 * 16_000, seed=2)]
    encoder, adapter = thinker.audio_encoder_model, thinker.audio_adapter
    together = adapter(encoder.encode(extract_features(clips, encoder.num_mel_bins, padding), padding))
    for one, expected in zip(clips, together, strict=True):
        alone = adapter(encoder.encode(extract_features([one], encoder.num_mel_bins, padding), padding))[0]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_masked_clip_pays_for_its_own_length_only(thinker: Thinker) -> None:
    features = extract_features([clip(16_000)], thinker.audio_encoder_model.num_mel_bins, "masked")
    assert features.segments.shape[2] == 100


@pytest.mark.parametrize("samples", [1, 100, 480, 16_000, 480_000, 480_001])
@torch.no_grad()
def test_clips_of_any_length_take_the_announced_positions(thinker: Thinker, samples: int) -> None:
    embeddings = thinker.embed_audio(thinker.audio_features([clip(samples)]))
    assert len(embeddings[0]) == thinker.config.audio_positions(samples)
