import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.models.adapter import AudioAdapter, adapter_frames
from tests.opens2s_core.opens2s_tiny import (
    EMBEDDINGS,
    FEATURES,
    GOLDEN,
    adapt_with_leaks,
    audio_lengths,
    encoder_lengths,
    features_of_a_batch,
    model,
    recordings,
    synthetic_features,
    unaffected_frames,
)
from tests.opens2s_core.parity import close

kernels = st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("encoder_adapter")


@torch.no_grad()
def test_a_batch_with_its_silence_unmasked_is_the_published_one(golden: dict[str, Tensor]) -> None:
    features = synthetic_features(golden["attention_mask_sum"].tolist())
    adapted = adapt_with_leaks(model().thinker, features)
    close("adapter.adapter_output", adapted, golden["adapter_output"], EMBEDDINGS)
    lengths = torch.tensor(audio_lengths(features))
    assert torch.equal((torch.arange(adapted.shape[1]) < lengths[:, None]).long(), golden["adapter_mask"])


@torch.no_grad()
def test_only_where_the_published_batch_depends_on_neighbours_does_ours_differ(golden: dict[str, Tensor]) -> None:
    features = synthetic_features(golden["attention_mask_sum"].tolist())
    ours = model().thinker.embed_audio(features)
    assert list(map(len, ours)) == golden["adapter_mask"].sum(1).tolist()
    for row, expected, length in zip(ours, golden["adapter_output"], encoder_lengths(features), strict=True):
        same = unaffected_frames(length)
        close("adapter.rows_without_leaks", row[:same], expected[:same], EMBEDDINGS)
    longest = max(range(len(ours)), key=lambda i: len(ours[i]))
    close("adapter.longest_row", ours[longest], golden["adapter_output"][longest], EMBEDDINGS)


@torch.no_grad()
def test_a_row_in_our_batch_is_the_published_row_alone(golden: dict[str, Tensor]) -> None:
    ours = model().thinker.embed_audio(synthetic_features(golden["attention_mask_sum"].tolist()))[0]
    close("adapter.single0_adapter", ours[None], golden["single0_adapter"], EMBEDDINGS)
    assert golden["single0_adapter_mask"].tolist() == [[1] * len(ours)]
    change = (golden["adapter_output"][0, : len(ours)] - ours).abs().amax(1)
    leak = GOLDEN.values("facts")["adapter_batch_dependence_row0"]
    assert set((change > EMBEDDINGS).nonzero().flatten().tolist()) <= set(leak["rows"])
    assert float(change.max()) == pytest.approx(leak["max_abs"], abs=EMBEDDINGS)
    unaffected = unaffected_frames(int(golden["single0_encoder_lengths"]))
    assert all(row >= unaffected for row in leak["rows"])


@torch.no_grad()
def test_recordings_become_the_published_embeddings(golden: dict[str, Tensor]) -> None:
    clips = recordings(len(golden["wav_adapter_mask"]))
    adapted = adapt_with_leaks(model().thinker, features_of_a_batch(clips))
    close("adapter.wav_adapter_output", adapted, golden["wav_adapter_output"], EMBEDDINGS)


@torch.no_grad()
def test_ours_of_recordings_differ_only_by_what_the_published_batch_puts_behind_them(golden: dict[str, Tensor]) -> None:
    thinker, clips = model().thinker, recordings(len(golden["wav_adapter_mask"]))
    features, published = thinker.audio_features(clips), features_of_a_batch(clips)
    ours = thinker.embed_audio(features)
    assert list(map(len, ours)) == golden["wav_adapter_mask"].sum(1).tolist()
    starts = [0, *itertools.accumulate(map(len, features.frames))]
    for i, length in enumerate(encoder_lengths(features)):
        own = slice(starts[i], starts[i + 1])
        change = (features.segments[own] - published.segments[own]).abs().amax((0, 1))
        assert not (change[:-1] > FEATURES).any()
        if change[-1] <= FEATURES:
            same = unaffected_frames(length)
            close("adapter.wav_rows_without_leaks", ours[i][:same], golden["wav_adapter_output"][i, :same], EMBEDDINGS)


def test_lengths_are_the_published_facts() -> None:
    facts = GOLDEN.values("facts")["lengths"]
    features = synthetic_features(facts["mel_frames"])
    assert (encoder_lengths(features), audio_lengths(features)) == (facts["encoder_lengths"], facts["adapter_lengths"])
    clips = model().thinker.audio_features(recordings(len(facts["wav_encoder"])))
    assert (encoder_lengths(clips), audio_lengths(clips)) == (facts["wav_encoder"], facts["wav_adapter"])


@given(frames=st.integers(1, 3000), sizes=kernels)
def test_lengths_are_those_of_the_convolutions(frames: int, sizes: tuple[int, ...]) -> None:
    x = torch.zeros(1, 1, frames, device="meta")
    for kernel in sizes:
        x = nn.Conv1d(1, 1, kernel, stride=2, padding=kernel // 2, device="meta")(x)
    assert x.shape[2] == adapter_frames(frames, len(sizes))


def slow_adapter(adapter: AudioAdapter, clip: Tensor) -> Tensor:
    """One clip alone, with nothing to mask: (T, D_in) → (T', D_out)."""
    x = clip.T[None]
    for conv in adapter.subsampler.conv_layers:
        value, gating = conv(x).chunk(2, dim=1)
        x = value * torch.sigmoid(gating)
    x = x[0].T
    return adapter.ln(x + functional.gelu(x @ adapter.fc1.weight.T) @ adapter.fc2.weight.T)


@given(
    sizes=kernels,
    widths=st.tuples(st.integers(1, 9), st.integers(2, 11), st.integers(1, 7)),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
@settings(max_examples=40)
@torch.no_grad()
def test_clips_together_are_each_alone_at_any_number_of_convolutions_and_any_width(
    sizes: tuple[int, ...], widths: tuple[int, int, int], lengths: list[int]
) -> None:
    torch.manual_seed(sum(lengths))
    adapter = AudioAdapter(*widths, sizes)
    clips = [torch.randn(length, widths[0]) for length in lengths]
    for clip, ours in zip(clips, adapter.adapt(clips), strict=True):
        torch.testing.assert_close(ours, slow_adapter(adapter, clip), atol=1e-5, rtol=1e-5)
