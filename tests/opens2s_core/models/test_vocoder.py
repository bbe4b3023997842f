import dataclasses

import pytest
import torch

from opens2s_core.config import Token2WavConfig, VocoderConfig, parse_config
from opens2s_core.models.vocoder import Vocoder, decode_context, fold_weight_norm, samples_per_frame
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("token2wav_tiny")
HIDDEN = 1e-4
PITCH = 1e-3
WAVE = 1e-3
"""Tolerances of the golden data: hidden states, Hz, samples."""


@pytest.fixture(scope="module")
def golden():
    return GOLDEN.tensors()


@pytest.fixture(scope="module")
def meta():
    return GOLDEN.values("meta")


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
    close("hift.conv_pre", vocoder.conv_pre(golden["hift.mel"]), golden["hift.conv_pre"], HIDDEN)
    voiced = (f0 > vocoder.config.nsf_voiced_threshold).float().mean()
    close("hift.uv_fraction", voiced, golden["hift.uv_fraction"], 1e-6)


@torch.no_grad()
def test_source(vocoder, golden, start):
    draws = golden["hift.f0"], golden["hift.phase_u"], golden["hift.noise"].float(), start
    harmonics, _ = vocoder.m_source.harmonics(*draws)
    close("hift.sine_waves_last256", harmonics[:, :, -256:], golden["hift.sine_waves_last256"], HIDDEN)
    source, _ = vocoder.source(*draws)
    close("hift.source", source, golden["hift.source"], HIDDEN)
    close("hift.source_stft", vocoder.source_spectrum(source)[:, :, :64], golden["hift.source_stft"], HIDDEN)


@torch.no_grad()
def test_waveform(vocoder, golden):
    draws = golden["hift.mel"], golden["hift.phase_u"], golden["hift.noise"].float()
    close("hift.wav", vocoder(*draws), golden["hift.wav"], WAVE)


@torch.no_grad()
def test_waveform_that_goes_on_from_a_cached_source(vocoder, golden, start):
    draws = golden["hift.phase_u"], golden["hift.noise"].float()
    cached = golden["hift.cache_source"]
    source, _ = vocoder.source(golden["hift.f0"], *draws, start)
    joined = torch.cat([cached, source[:, :, cached.shape[2] :]], dim=2)
    expected = golden["hift.source_cached_first512"]
    close("hift.source_cached_first512", joined[:, :, : expected.shape[2]], expected, HIDDEN)
    close("hift.wav_cached", vocoder(golden["hift.mel"], *draws, cached), golden["hift.wav_cached"], WAVE)


@torch.no_grad()
def test_waveform_of_every_recorded_call_of_a_stream(vocoder, golden, meta, start):
    frames, samples = meta["audio_decoder"]["mel_cache_len"], meta["audio_decoder"]["source_cache_len"]
    cached_mel, cached_source = golden["stream.0.mel"][:, :, :0], torch.zeros(1, 1, 0)
    for k, chunk in enumerate(meta["stream"]["chunks"]):
        # what token2wav returns already begins with the frame kept from the call before
        mel = golden[f"stream.{k}.mel"]
        draws = golden[f"stream.{k}.phase_u"], golden[f"stream.{k}.noise"].float()
        assert torch.equal(mel[:, :, : cached_mel.shape[2]], cached_mel)
        source, _ = vocoder.source(vocoder.f0(mel), *draws, start)
        source = torch.cat([cached_source, source[:, :, cached_source.shape[2] :]], dim=2)
        close(f"stream.{k}.source_first512", source[:, :, :512], golden[f"stream.{k}.source_first512"], WAVE)
        close(f"stream.{k}.source_last512", source[:, :, -512:], golden[f"stream.{k}.source_last512"], WAVE)
        speech = vocoder(mel, *draws, cached_source)[:, : chunk["speech_samples"]]
        # the first samples are cross-faded with the end of the call before, which is not ours to reproduce
        faded = cached_source.shape[2]
        close(f"stream.{k}.speech", speech[:, faded:], golden[f"stream.{k}.speech"][:, faded:], WAVE)
        cached_mel, cached_source = mel[:, :, -frames:], source[:, :, -samples:]


@torch.no_grad()
def test_waveform_of_a_single_finished_call(vocoder, golden, start):
    mel, phase_u = golden["offline.0.mel"], golden["offline.0.phase_u"]
    noise = golden["offline.0.noise"].float()
    source, _ = vocoder.source(vocoder.f0(mel), phase_u, noise, start)
    close("offline.0.source_first512", source[:, :, :512], golden["offline.0.source_first512"], WAVE)
    close("offline.0.source_last512", source[:, :, -512:], golden["offline.0.source_last512"], WAVE)
    close("offline.0.speech", vocoder(mel, phase_u, noise), golden["offline.0.speech"], WAVE)


def test_folding_leaves_other_weights_alone():
    state = {"a.weight": torch.ones(2), "b.weight_v": torch.tensor([[3.0, 4.0]]), "b.weight_g": torch.tensor([[10.0]])}
    folded = fold_weight_norm(state)
    assert folded.keys() == {"a.weight", "b.weight"}
    torch.testing.assert_close(folded["b.weight"], torch.tensor([[6.0, 8.0]]))


@torch.no_grad()
def test_phase_goes_on_where_it_stopped(vocoder, start):
    f0 = torch.rand(1, 30) * 400
    samples = 30 * samples_per_frame(vocoder.config)
    phase_u, noise = torch.rand(1, 3, 1), torch.zeros(1, 3, samples)
    vocoder = Vocoder(dataclasses.replace(vocoder.config, nb_harmonics=2))
    whole, end = vocoder.source(f0, phase_u, noise, start)
    half = 13 * samples_per_frame(vocoder.config)
    first, middle = vocoder.source(f0[:, :13], phase_u, noise[:, :, :half], start)
    second, last = vocoder.source(f0[:, 13:], phase_u, noise[:, :, half:], middle)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole)
    torch.testing.assert_close(last, end)


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_untrained_voice_is_quiet(seed):
    torch.manual_seed(seed)
    config = VocoderConfig(base_channels=64)
    vocoder = Vocoder(config)
    mel, noise = torch.randn(1, config.in_channels, 40) * 2 - 6, torch.randn(1, config.nb_harmonics + 1, 40 * 256)
    wave = vocoder(mel, torch.rand(1, config.nb_harmonics + 1, 1), noise)
    print(f"untrained voice: peak {wave.abs().max():.3f}, rms {wave.square().mean().sqrt():.4f}")
    assert wave.abs().max() < 0.1


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"upsample_rates": (4, 4, 2), "upsample_kernel_sizes": (8, 8, 4)}
        | {"source_resblock_kernel_sizes": (3, 7, 11), "source_resblock_dilation_sizes": ((1,), (1, 3), (1, 3, 5))},
        {"resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1,),)},
    ],
)
def test_context_covers_what_the_waveform_depends_on(change):
    config = dataclasses.replace(VocoderConfig(base_channels=32), **change)
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
