import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.training.voice.discriminators import (
    DiscriminatorOutput,
    Discriminators,
    DiscriminatorsConfig,
    PeriodDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    stft_magnitude,
)

SMALL = DiscriminatorsConfig(
    periods=(2, 3, 5),
    period_channels=(4, 8, 8),
    resolutions=((256, 32, 160), (128, 20, 128)),
    resolution_channels=4,
)


@pytest.fixture
def discriminators():
    torch.manual_seed(0)
    return Discriminators(SMALL)


@pytest.mark.parametrize("samples", [2048, 2051])
def test_each_period_and_each_resolution_scores_every_waveform(discriminators, samples):
    outputs = discriminators(torch.randn(3, samples))
    assert len(outputs) == len(SMALL.periods) + len(SMALL.resolutions)
    assert all(len(output.scores) == 3 for output in outputs)
    for period, output in zip(SMALL.periods, outputs, strict=False):
        rows = math.ceil(samples / period)
        for _ in range(2):  # two of three layers keep a third, rounded up
            rows = math.ceil(rows / 3)
        assert output.scores.shape == (3, rows * period)
    for (size, hop, _), output in zip(SMALL.resolutions, outputs[len(SMALL.periods) :], strict=True):
        bins = size // 2 + 1
        for _ in range(3):  # three layers halve the bins, rounded up
            bins = math.ceil(bins / 2)
        assert output.scores.shape == (3, (samples // hop + 1) * bins)


@given(st.integers(2, 11), st.data())
def test_a_period_compares_only_samples_that_are_periods_apart(period, data):
    torch.manual_seed(0)
    discriminator, wave = PeriodDiscriminator(period, (4, 4)), torch.randn(1, 20 * period)
    changed = wave.clone()
    changed[0, data.draw(st.integers(0, 20 * period - 1), label="sample") // period * period + 1] += 1
    differs = (discriminator(changed).scores - discriminator(wave).scores).unflatten(1, (-1, period)).abs().amax((0, 1))
    assert differs.nonzero().flatten().tolist() == [1]


def test_magnitudes_are_those_of_the_stft():
    wave = torch.randn(2, 900)
    spectrum = torch.stft(wave, 128, 20, 100, torch.hann_window(100), return_complex=True)
    torch.testing.assert_close(stft_magnitude(wave, 128, 20, 100), spectrum.abs().clamp(min=1e-4))


@pytest.mark.parametrize("index", range(len(SMALL.periods) + len(SMALL.resolutions)))
def test_every_discriminator_has_a_gradient_of_the_waveform(discriminators, index):
    real, fake = discriminators(torch.randn(2, 2048)), torch.randn(2, 2048, requires_grad=True)
    outputs = discriminators(fake)
    for loss in (adversarial_loss([outputs[index]]), feature_loss([real[index]], [outputs[index]])):
        (gradient,) = torch.autograd.grad(loss, fake, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.any()


def test_silence_has_a_finite_gradient(discriminators):
    wave = torch.zeros(1, 2048, requires_grad=True)
    adversarial_loss(discriminators(wave)).backward()
    assert wave.grad.isfinite().all()


def output(score: float, feature: float) -> DiscriminatorOutput:
    return DiscriminatorOutput(
        torch.full((2, 3), score), (torch.full((2, 4, 5), feature), torch.full((2, 4), 2 * feature))
    )


def test_losses_are_squared_errors_and_feature_distances():
    real, fake = [output(0.75, 1.0)] * 2, [output(0.5, 3.0)] * 2
    assert discriminator_loss(real, fake).item() == pytest.approx(2 * (0.25**2 + 0.5**2))
    assert adversarial_loss(fake).item() == pytest.approx(2 * 0.5**2)
    assert feature_loss(real, fake).item() == pytest.approx(2 * (2.0 + 4.0))


@pytest.mark.slow
def test_tones_are_soon_distinguished_from_noise(discriminators):
    optimizer = torch.optim.AdamW(discriminators.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(2048) / 20
    for _ in range(60):
        tones = torch.sin(time + 6 * torch.rand(4, 1, generator=generator))
        loss = discriminator_loss(discriminators(tones), discriminators(torch.randn(4, 2048, generator=generator)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    chance_loss = 0.5 * (len(SMALL.periods) + len(SMALL.resolutions))  # of constant scores of 0.5
    print(f"discriminators: {loss:.3f} of {chance_loss}")
    assert loss < 0.5 * chance_loss
