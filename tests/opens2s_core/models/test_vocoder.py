import dataclasses
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.config import IstftConfig, Token2WavConfig, VocoderConfig, parse_config
from opens2s_core.models.vocoder import (
    F0_CONTEXT,
    Snake,
    Vocoder,
    decode_context,
    fold_weight_norm,
    samples_per_frame,
)
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("token2wav_tiny")
ONE_LAYER = 1e-4
"""Of one convolution, for which the golden data names no tolerance."""
PITCH = GOLDEN.tolerance("f0", 1e-3)
WAVE = GOLDEN.tolerance("wav", 1e-3)

SMALL = VocoderConfig(base_channels=32)
VARIANTS = [
    SMALL,
    dataclasses.replace(
        SMALL,
        in_channels=20,
        f0_predictor=dataclasses.replace(SMALL.f0_predictor, in_channels=20, cond_channels=8),
        nb_harmonics=3,
        sampling_rate=24000,
        upsample_rates=(4, 4, 2),
        upsample_kernel_sizes=(8, 8, 4),
        source_resblock_kernel_sizes=(3, 7, 11),
        source_resblock_dilation_sizes=((1,), (1, 3), (1, 3, 5)),
    ),
    dataclasses.replace(
        SMALL,
        nb_harmonics=0,
        sampling_rate=16000,
        istft_params=IstftConfig(n_fft=20, hop_len=5),
        upsample_rates=(5, 3),
        upsample_kernel_sizes=(11, 7),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
    ),
    dataclasses.replace(
        SMALL,
        istft_params=IstftConfig(n_fft=8, hop_len=2),
        upsample_rates=(6,),
        upsample_kernel_sizes=(12,),
        source_resblock_kernel_sizes=(5,),
        source_resblock_dilation_sizes=((2, 4),),
    ),
]
"""Other levels, rates, kernels, STFTs, mel counts and harmonics than the published vocoder's."""


@pytest.fixture(scope="module")
def vocoder():
    config = parse_config(Token2WavConfig, GOLDEN.values("config")).hift
    vocoder = Vocoder(config).eval()
    vocoder.load_state_dict(fold_weight_norm(GOLDEN.tensors("hift")), strict=True)
    return vocoder


@pytest.fixture
def start():
    return torch.zeros(1, dtype=torch.float64)


@torch.no_grad()
def test_pitch_and_first_convolution(vocoder, golden):
    f0 = vocoder.f0(golden["hift.mel"])
    close("hift.f0", f0, golden["hift.f0"], PITCH)
    close("hift.conv_pre", vocoder.conv_pre(golden["hift.mel"]), golden["hift.conv_pre"], ONE_LAYER)
    voiced = (f0 > vocoder.config.nsf_voiced_threshold).float().mean()
    close("hift.uv_fraction", voiced, golden["hift.uv_fraction"], 1e-6)


@torch.no_grad()
def test_source(vocoder, golden, start):
    inputs = golden["hift.f0"], golden["hift.phase_u"], golden["hift.noise"].float(), start
    harmonics, _ = vocoder.m_source.harmonics(*inputs)
    (key,) = (key for key in golden if re.fullmatch(r"hift\.sine_waves_last\d+", key))
    close("hift.sine_waves", harmonics[:, :, -golden[key].shape[2] :], golden[key], WAVE)
    source, _ = vocoder.source(*inputs)
    close("hift.source", source, golden["hift.source"], WAVE)
    expected = golden["hift.source_stft"]
    close("hift.source_stft", vocoder.source_spectrum(source)[:, :, : expected.shape[2]], expected, WAVE)


@torch.no_grad()
def test_waveform(vocoder, golden):
    wave = vocoder(golden["hift.mel"], golden["hift.phase_u"], golden["hift.noise"].float())
    close("hift.wav", wave, golden["hift.wav"], WAVE)
    clipped = (wave.abs() >= vocoder.config.audio_limit).float().mean().item()
    assert clipped == pytest.approx(GOLDEN.values("meta")["scalars"]["hift.clipped_frac"], abs=1e-3)


@torch.no_grad()
def test_waveform_from_a_cached_source(vocoder, golden):
    inputs = golden["hift.mel"], golden["hift.phase_u"], golden["hift.noise"].float(), golden["hift.cache_source"]
    source = vocoder.excite(*inputs)
    (key,) = (key for key in golden if re.fullmatch(r"hift\.source_cached_first\d+", key))
    close("hift.source_cached", source[:, :, : golden[key].shape[2]], golden[key], WAVE)
    assert torch.equal(source[:, :, : inputs[3].shape[2]], inputs[3])
    close("hift.wav_cached", vocoder(*inputs), golden["hift.wav_cached"], WAVE)


def test_folding_does_not_change_other_weights():
    state = {"a.weight": torch.ones(2), "b.weight_v": torch.tensor([[3.0, 4.0]]), "b.weight_g": torch.tensor([[10.0]])}
    folded = fold_weight_norm(state)
    assert folded.keys() == {"a.weight", "b.weight"}
    torch.testing.assert_close(folded["b.weight"], torch.tensor([[6.0, 8.0]]))


def random_noise(config, frames):
    harmonics = config.nb_harmonics + 1
    return torch.rand(1, harmonics, 1), torch.randn(1, harmonics, frames * samples_per_frame(config))


@pytest.mark.parametrize("config", VARIANTS)
@torch.no_grad()
def test_every_frame_becomes_its_samples(config):
    vocoder, mel = Vocoder(config), torch.randn(1, config.in_channels, 11)
    assert vocoder(mel, *random_noise(config, 11)).shape == (1, 11 * samples_per_frame(config))


@settings(max_examples=20)
@given(st.sampled_from(VARIANTS), st.integers(1, 29))
@torch.no_grad()
def test_phase_is_continuous(config, cut):
    vocoder, f0 = Vocoder(config), torch.rand(1, 30) * 400
    start, samples = torch.zeros(1, dtype=torch.float64), cut * samples_per_frame(config)
    phase_u, noise = random_noise(config, 30)
    whole, end = vocoder.source(f0, phase_u, noise, start)
    first, middle = vocoder.source(f0[:, :cut], phase_u, noise[:, :, :samples], start)
    second, last = vocoder.source(f0[:, cut:], phase_u, noise[:, :, samples:], middle)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last, end)


@pytest.mark.parametrize("config", VARIANTS)
@torch.no_grad()
def test_harmonics_of_a_steady_pitch(config, start):
    pitch, samples = 3 * config.nsf_voiced_threshold, 10 * samples_per_frame(config)
    phase_u, noise = random_noise(config, 10)
    stack, _ = Vocoder(config).m_source.harmonics(torch.full((1, 10), pitch), phase_u, noise, start)
    time = torch.arange(1, samples + 1, dtype=torch.float64) / config.sampling_rate
    for k in range(config.nb_harmonics + 1):
        phase = math.pi * (2 * phase_u[0, k].double() - 1) if k else 0.0
        sine = config.nsf_alpha * torch.sin(2 * math.pi * (k + 1) * pitch * time + phase)
        torch.testing.assert_close(stack[0, k], sine.float() + config.nsf_sigma * noise[0, k], atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", VARIANTS)
@torch.no_grad()
def test_without_a_pitch_there_is_noise_alone(config, start):
    phase_u, noise = random_noise(config, 10)
    unvoiced = torch.full((1, 10), config.nsf_voiced_threshold)
    stack, _ = Vocoder(config).m_source.harmonics(unvoiced, phase_u, noise, start)
    torch.testing.assert_close(stack, config.nsf_alpha / 3 * noise)


@torch.no_grad()
def test_snake():
    snake, x = Snake(3), torch.randn(2, 3, 7)
    snake.alpha.copy_(torch.tensor([0.5, 1.0, -2.0]))
    for channel, a in enumerate(snake.alpha.tolist()):
        expected = x[:, channel] + torch.sin(a * x[:, channel]) ** 2 / (a + 1e-9)
        torch.testing.assert_close(snake(x)[:, channel], expected)


@torch.no_grad()
def test_a_loud_voice_is_clipped():
    vocoder = Vocoder(SMALL)
    vocoder.conv_post.bias.fill_(500)
    wave = vocoder(torch.randn(1, SMALL.in_channels, 10), *random_noise(SMALL, 10))
    assert wave.isfinite().all()
    assert wave.abs().max() == torch.tensor(SMALL.audio_limit)


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_untrained_voice_is_quiet(seed):
    torch.manual_seed(seed)
    config = VocoderConfig(base_channels=64)
    wave = Vocoder(config)(torch.randn(1, config.in_channels, 40) * 2 - 6, *random_noise(config, 40))
    print(f"untrained voice: peak {wave.abs().max():.3f}, rms {wave.square().mean().sqrt():.4f}")
    assert wave.abs().max() < 0.1


@torch.no_grad()
def test_pitch_depends_on_so_many_frames_on_either_side():
    vocoder, mel = Vocoder(SMALL), torch.randn(1, SMALL.in_channels, 41)
    changed = mel.clone()
    changed[:, :, 20] += 1
    felt = (vocoder.f0(changed) != vocoder.f0(mel))[0].nonzero().flatten()
    assert (felt.min(), felt.max()) == (20 - F0_CONTEXT, 20 + F0_CONTEXT)


@pytest.mark.parametrize("config", VARIANTS)
def test_context_covers_what_the_waveform_depends_on(config):
    context, hop, frames = decode_context(config), samples_per_frame(config), 64
    vocoder = Vocoder(config).double()
    mel = torch.randn(1, config.in_channels, frames, dtype=torch.float64, requires_grad=True)
    source = torch.randn(1, 1, frames * hop, dtype=torch.float64, requires_grad=True)
    middle = frames // 2
    wave = vocoder.decode(mel, source)[:, middle * hop : (middle + 1) * hop]
    by_mel, by_source = torch.autograd.grad(wave.sum() + (wave * torch.rand_like(wave)).sum(), (mel, source))
    felt = (by_mel[0].abs().sum(0) + by_source.view(frames, hop).abs().sum(1)).nonzero().flatten()
    assert middle - context <= felt.min()
    assert felt.max() <= middle + context
    assert context <= max(middle - felt.min(), felt.max() - middle) + 1
