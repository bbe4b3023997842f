import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.config import IstftConfig, VocoderConfig
from opens2s_core.inference.vocoder_stream import look_ahead, open_vocoder_stream, source_noise, vocode
from opens2s_core.models.vocoder import F0_CONTEXT, Vocoder, decode_context, samples_per_frame
from tests.opens2s_core.parity import Golden, rounding

GOLDEN = Golden("token2wav_tiny")
WAVE = GOLDEN.tolerance("wav", 1e-3)
SIZES = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(sum)


@pytest.fixture(scope="module")
def other_vocoder():
    torch.manual_seed(0)
    config = VocoderConfig(
        base_channels=16,
        nb_harmonics=3,
        sampling_rate=24000,
        nsf_voiced_threshold=0.02,
        upsample_rates=(5, 3),
        upsample_kernel_sizes=(11, 7),
        istft_params=IstftConfig(n_fft=20, hop_len=5),
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3), (2,)),
        source_resblock_kernel_sizes=(3, 5),
        source_resblock_dilation_sizes=((1,), (1, 2)),
    )
    vocoder = Vocoder(config).eval()
    torch.nn.init.zeros_(vocoder.conv_post.bias)  # loud enough to show a difference
    return vocoder


def golden_mel(frames, start=0):
    mel = GOLDEN.tensors()["stream.0.mel"][0]
    return mel.repeat(1, 1 + (start + frames) // mel.shape[1])[:, start : start + frames]


@torch.no_grad()
def one_shot(vocoder, mel, seed):
    stream = open_vocoder_stream(vocoder, seed)
    noise = source_noise(vocoder, seed, 0, mel.shape[1])
    return vocoder(mel[None], stream.phase_u[None], noise[None])[0].numpy()


@torch.no_grad()
def stream_mel(vocoder, mel, sizes, seed):
    stream, parts = open_vocoder_stream(vocoder, seed), mel.split(sizes, dim=1)
    samples = [vocode(vocoder, [stream], [part], final=[i == len(parts) - 1]) for i, part in enumerate(parts)]
    return torch.cat([wave for (wave,) in samples]).numpy()


@settings(max_examples=25)
@given(SIZES, st.integers(0, 2**32))
def test_streamed_equals_one_shot(vocoder, sizes, seed):
    mel = golden_mel(sum(sizes))
    np.testing.assert_allclose(stream_mel(vocoder, mel, sizes, seed), one_shot(vocoder, mel, seed), atol=WAVE)


@settings(max_examples=10)
@given(SIZES)
def test_streamed_at_other_rates_equals_one_shot(other_vocoder, sizes):
    mel = torch.randn(other_vocoder.config.in_channels, sum(sizes), generator=torch.Generator().manual_seed(0))
    whole = one_shot(other_vocoder, mel, 0)
    np.testing.assert_allclose(stream_mel(other_vocoder, mel, sizes, 0), whole, atol=rounding(whole))


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from([0, 20, 40, 41]), min_size=3, max_size=3), min_size=2, max_size=4))
@torch.no_grad()
def test_concurrent_replies_of_any_windows_equal_those_alone(vocoder, sizes):
    mels = [golden_mel(sum(own), start=3 * i).split(own, dim=1) for i, own in enumerate(sizes)]
    streams, outputs = [open_vocoder_stream(vocoder, seed) for seed in range(len(sizes))], [[] for _ in sizes]
    for i in range(3):
        final = [i == 2] * len(sizes)
        for samples, new in zip(outputs, vocode(vocoder, streams, [mel[i] for mel in mels], final=final), strict=True):
            samples.append(new)
    for seed, (own, samples) in enumerate(zip(sizes, outputs, strict=True)):
        alone = stream_mel(vocoder, golden_mel(sum(own), start=3 * seed), own, seed)
        np.testing.assert_allclose(torch.cat(samples).numpy(), alone, atol=rounding(alone))


@torch.no_grad()
def test_equal_windows_are_one_batch(vocoder):
    batches = []
    hook = vocoder.conv_pre.register_forward_pre_hook(lambda _m, inputs: batches.append(len(inputs[0])))
    streams = [open_vocoder_stream(vocoder, seed) for seed in range(5)]
    vocode(vocoder, streams, [golden_mel(60 if i != 2 else 61) for i in range(5)], final=[False] * 5)
    hook.remove()
    assert batches == [4, 1]


@torch.no_grad()
def test_no_more_is_held_back_than_the_look_ahead(vocoder):
    stream, mel = open_vocoder_stream(vocoder, 0), torch.zeros(vocoder.config.in_channels, 60)
    (samples,) = vocode(vocoder, [stream], [mel], final=[False])
    assert len(samples) == (60 - look_ahead(vocoder)) * samples_per_frame(vocoder.config)


@torch.no_grad()
def test_frames_are_kept_only_while_needed(vocoder):
    vocoded, voiced = [], []
    hooks = [
        vocoder.conv_pre.register_forward_pre_hook(lambda _m, inputs: vocoded.append(inputs[0].shape[2])),
        vocoder.f0_predictor.register_forward_pre_hook(lambda _m, inputs: voiced.append(inputs[0].shape[2])),
    ]
    stream, context = open_vocoder_stream(vocoder, 0), decode_context(vocoder.config)
    for _ in range(6):
        vocode(vocoder, [stream], [golden_mel(100)], final=[False])
        assert stream.mel.shape[1] <= 2 * context + F0_CONTEXT
        assert stream.source.shape[0] <= 2 * context * samples_per_frame(vocoder.config)
    for hook in hooks:
        hook.remove()
    assert max(vocoded) <= 100 + 2 * context
    assert max(voiced) <= 100 + 2 * F0_CONTEXT
