import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from opens2s_core.audio import HOP, SEGMENT_FRAMES
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_thinker
from opens2s_core.models.adapter import adapter_frames
from opens2s_core.models.audio_encoder import (
    AudioPadding,
    clip_encoder_frames,
    encoder_frames,
    extract_features,
    mel_frames,
    segment_lengths,
)
from opens2s_core.models.thinker import Thinker
from tests.opens2s_core.opens2s_tiny import (
    EMBEDDINGS,
    FEATURES,
    GOLDEN,
    encode_with_silence,
    encoder_lengths,
    model,
    recordings,
    synthetic_features,
)
from tests.opens2s_core.parity import close


@pytest.fixture(scope="module")
def thinker(tiny_bundle: Path) -> Thinker:
    return load_thinker(tiny_bundle / OPENS2S)


def clip(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("encoder_adapter")


NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4}


def published_rates() -> tuple[list[int], list[int], int, list[int]]:
    """The table of lengths in the README: log-mel frames, encoder frames, number of convolutions, frames after them."""
    readme = (GOLDEN.path / "README.md").read_text()
    table = re.findall(r"^\| *(mel frames|encoder frames|after (\w+) [^|]*?) *\|(.*)\|$", readme, re.M)
    numbers = [[int(cell) for cell in cells.split("|")] for _, _, cells in table]
    mel, encoder, adapter = numbers
    return mel, encoder, NUMBER_WORDS[table[2][1]], adapter


def test_rates_are_the_published_ones() -> None:
    mel, encoder, convolutions, adapter = published_rates()
    ours = [sum(map(encoder_frames, segment_lengths(frames))) for frames in mel]
    assert ours == encoder
    assert [adapter_frames(frames, convolutions) for frames in ours] == adapter


@given(frames=st.integers(3, SEGMENT_FRAMES))
def test_lengths_are_those_of_convolution_and_pooling(frames: int) -> None:
    x = nn.Conv1d(1, 1, 3, stride=2, padding=1, device="meta")(torch.zeros(1, 1, frames, device="meta"))
    assert nn.AvgPool1d(2, stride=2)(x).shape[2] == encoder_frames(frames)


@given(samples=st.integers(0, 3 * SEGMENT_FRAMES * HOP))
def test_every_clip_has_an_encoder_frame(samples: int) -> None:
    assert clip_encoder_frames(samples) >= 1
    assert sum(segment_lengths(mel_frames(samples))) == mel_frames(samples) == max(-(-samples // HOP), 3)


@torch.no_grad()
def test_clips_are_encoded_as_published(golden: dict[str, Tensor]) -> None:
    features = synthetic_features(golden["attention_mask_sum"].tolist())
    assert encoder_lengths(features) == golden["encoder_output_lengths"].tolist()
    rows = encode_with_silence(model().thinker, features)
    assert list(rows.shape) == golden["encoder_shape"].tolist()
    compared = 0
    for name, expected in golden.items():
        if every := re.fullmatch(r"encoder_last_hidden_state_every(\d+)", name):
            close(f"encoder.{name}", rows[:, :: int(every[1])], expected, EMBEDDINGS)
            compared += 1
        if part := re.fullmatch(r"encoder_last_hidden_state_ex(\d+)_from(\d+)", name):
            row, first = int(part[1]), int(part[2])
            close(f"encoder.{name}", rows[row, first : first + expected.shape[1]][None], expected, EMBEDDINGS)
            compared += 1
    assert compared == sum(name.startswith("encoder_last_hidden_state") for name in golden)
    for row, ours in zip(rows, model().thinker.audio_encoder_model.encode(features), strict=True):
        torch.testing.assert_close(ours, row[: len(ours)], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_clip_alone_is_encoded_as_published(golden: dict[str, Tensor]) -> None:
    features = synthetic_features(golden["attention_mask_sum"][:1].tolist())
    (ours,) = model().thinker.audio_encoder_model.encode(features)
    close("encoder.single0_encoder", ours[None], golden["single0_encoder"], EMBEDDINGS)
    assert golden["single0_encoder_lengths"].tolist() == [len(ours)]


def test_clips_are_cut_into_segments_that_hold_the_published_features(golden: dict[str, Tensor]) -> None:
    extractor = GOLDEN.tensors("feature_extractor")
    count, mel_bins, _ = extractor["shape"].tolist()
    clips = recordings(count)
    features = extract_features(clips, mel_bins, "full")
    assert [sum(clip) for clip in features.frames] == extractor["attention_mask_sum"].tolist()
    assert sum(features.frames[0]) == int(extractor["single0_attention_mask_sum"])
    assert encoder_lengths(features) == golden["wav_encoder_output_lengths"].tolist()
    assert encoder_lengths(features) == [clip_encoder_frames(len(clip)) for clip in clips]
    segments = list(features.segments)
    for i, clip in enumerate(features.frames):
        whole = torch.cat([segments.pop(0) for _ in clip], dim=1)
        # Of its last frame the window reaches over the end, behind which the batch may go on.
        means = whole.double().mean(0).float()[:-1]
        close("features.segments", means, extractor["features_frame_mean"][i, : len(means)], FEATURES)


@pytest.mark.parametrize("padding", ["full", "masked"])
@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours(thinker: Thinker, padding: AudioPadding) -> None:
    clips = [clip(7_000), clip(33_333, seed=1), clip(31 * 16_000, seed=2)]
    encoder, adapter = thinker.audio_encoder_model, thinker.audio_adapter
    together = adapter.adapt(encoder.encode(extract_features(clips, encoder.num_mel_bins, padding)))
    for one, expected in zip(clips, together, strict=True):
        alone = adapter.adapt(encoder.encode(extract_features([one], encoder.num_mel_bins, padding)))[0]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 481, 16_000, 16_160, 33_333, 480_000, 480_161, 960_480])
@torch.no_grad()
def test_a_masked_clip_is_encoded_as_by_convolutions_and_attention_of_its_segments_alone(
    thinker: Thinker, samples: int
) -> None:
    encoder = thinker.audio_encoder_model
    others = [clip(8_000, seed=3), clip(7_999, seed=4)]
    features = extract_features([others[0], clip(samples), others[1]], encoder.num_mel_bins, "masked")
    segments = [row[None, :, :count] for row, count in zip(features.segments, features.segment_frames(), strict=True)]
    alone = [encoder._encode_segments(segment)[0] for segment in segments[1:-1] if segment.shape[2] > 2]
    torch.testing.assert_close(encoder.encode(features)[1], torch.cat(alone), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_cost_of_a_masked_clip_depends_on_its_length(thinker: Thinker) -> None:
    widths: list[int] = []
    encoder = thinker.audio_encoder_model
    hook = encoder.layers[0].register_forward_pre_hook(lambda layer, inputs: widths.append(inputs[0].shape[:2].numel()))
    for padding in ("masked", "full"):
        encoder.encode(extract_features([clip(16_000), clip(32_000)], encoder.num_mel_bins, padding))
    hook.remove()
    assert widths == [50 + 100, 2 * 1500]


def test_padding_is_counted() -> None:
    clips = [clip(16_000), clip(31 * 16_000)]
    assert extract_features(clips, 8, "masked").cells() == (25 + 775, 25 + 775)
    assert extract_features(clips, 8, "full").cells() == (25 + 775, 3 * 750)


@pytest.mark.parametrize("samples", [1, 100, 480, 16_000, 480_000, 480_001])
@torch.no_grad()
def test_clips_of_any_length_have_the_computed_number_of_positions(thinker: Thinker, samples: int) -> None:
    embeddings = thinker.embed_audio(thinker.audio_features([clip(samples)]))
    assert len(embeddings[0]) == thinker.config.audio_positions(samples)
